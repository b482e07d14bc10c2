/* SPDX-License-Identifier: Apache-2.0 */
int hard(void)
{
	return 42;
}
