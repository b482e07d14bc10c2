/* SPDX-License-Identifier: Apache-2.0 */
/* A program that does nothing: what there is to see of it is its exec. */
int main(void)
{
	return 0;
}
