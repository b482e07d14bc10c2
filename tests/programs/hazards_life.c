/* Libraries that come late, other programs, and what only trouble shows. */
#include "hazards.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Applets are symlinks to one binary: what is judged is the binary. */
int busybox(void)
{
	char *cat[] = {"cat", (char *)at("config/app.conf"), NULL};
	char *shell[] = {"sh", "-c", "test -e /etc/passwd && ls / | wc -l", NULL};

	NEED(run(at("bin/cat"), cat) == 0);
	NEED(run(at("bin/sh"), shell) == 0);
	return 0;
}

/* A script runs its interpreter; through env(1) it runs two. */
int script(void)
{
	char *plain[] = {"job.sh", (char *)base, NULL}, *env[] = {"job-env.sh", (char *)base, NULL};

	NEED(run(at("bin/job.sh"), plain) == 0);
	NEED(run(at("bin/job-env.sh"), env) == 0);
	return 0;
}

int name_service(void)
{
	struct addrinfo *found = NULL, wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	NEED(getpwnam("nobody"));
	NEED(getgrnam("nogroup") || getgrnam("nobody"));
	getservbyname("https", "tcp");
	NEED(getaddrinfo("localhost", "80", &wanted, &found) == 0);
	freeaddrinfo(found);
	return 0;
}

/* A character set that a request asks for: its module is loaded at that moment. */
int gconv(void)
{
	static const char *const SETS[] = {"ISO-8859-2", "KOI8-R", "SHIFT_JIS"};

	for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++) {
		iconv_t conversion = iconv_open("UTF-8", SETS[i]);

		NEED(conversion != (iconv_t)-1);
		iconv_close(conversion);
	}
	return 0;
}

int locale_case(void)
{
	NEED(setlocale(LC_ALL, "C.UTF-8"));
	return 0;
}

static void *sleeper(void *argument)
{
	pause();
	return argument;
}

/* Cancelling a thread loads libgcc_s.so.1, years after the start if need be. */
int late_library(void)
{
	pthread_t thread;
	void *library;

	NEED(pthread_create(&thread, NULL, sleeper, NULL) == 0);
	NEED(pthread_cancel(thread) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	NEED((library = dlopen("libm.so.6", RTLD_NOW)));
	dlclose(library);
	return 0;
}

/* The time zones of those who use it: another unit sees other ones. */
int tzdata(void)
{
	time_t now = time(NULL);
	char path[256];
	struct tm parts;

	for (char **zone = zones; *zone; zone++) {
		snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", *zone);
		NEED(access(path, R_OK) == 0);
		setenv("TZ", *zone, 1);
		tzset();
		NEED(localtime_r(&now, &parts));
	}
	unsetenv("TZ");
	return 0;
}

/* Reload: the configuration anew, the log under its name anew. */
int sighup(void)
{
	int log;

	reload_asked = false;
	NEED(kill(getpid(), SIGHUP) == 0);
	NEED(reload_asked);
	NEED(slurp(at("config/app.conf")) > 0);
	NEED((log = open(at("logs/app.log"), O_WRONLY | O_APPEND | O_CREAT, 0640)) >= 0);
	close(log);
	return 0;
}

/* The kernel's core and the report of a runtime's own handler. Whether the kernel writes one is the host's affair. */
int core_dump(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	pid_t child = fork();

	if (child == 0) {
		if (chdir(at("cores")) || put(at("cores/hs_err_pid%d.log", getpid()), "SIGABRT"))
			_exit(1);
		setrlimit(RLIMIT_CORE, &limit);
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	NEED(reap(child) == 128 + SIGABRT);
	return 0;
}

/* A worker without memory leaves a dump of its heap; one that the kernel kills leaves its lock to the next. */
int out_of_memory(void)
{
	struct rlimit limit = {64 << 20, 64 << 20};
	pid_t child = fork();

	if (child == 0) {
		setrlimit(RLIMIT_AS, &limit);
		_exit(malloc(256 << 20) == NULL && put(at("cores/java_pid%d.hprof", getpid()), "heap") == 0 ? 0 : 1);
	}
	NEED(reap(child) == 0);
	child = fork();
	if (child == 0) {
		if (put(at("run/worker-%d.lock", getpid()), "") == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	NEED(reap(child) == 128 + SIGKILL);
	NEED(unlink(at("run/worker-%d.lock", child)) == 0);
	return 0;
}

static int serve(unsigned short *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (server < 0 || bind(server, (struct sockaddr *)&address, size) || listen(server, 4) ||
	    getsockname(server, (struct sockaddr *)&address, &size))
		return -1;
	*port = ntohs(address.sin_port);
	return server;
}

static int reach(unsigned short port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons(port);
	if (client >= 0 && connect(client, (struct sockaddr *)&address, sizeof address)) {
		close(client);
		return -1;
	}
	return client;
}

/* The first server goes away; the standby takes over with a new timeline and says so in its files. */
int failover(void)
{
	unsigned short first_port, second_port;
	int first = serve(&first_port), second = serve(&second_port), client;

	NEED(first >= 0 && second >= 0);
	NEED((client = reach(first_port)) >= 0);
	close(client);
	close(first);
	NEED(reach(first_port) < 0 && errno == ECONNREFUSED);
	NEED(put(at("data/standby.signal"), "") == 0);
	NEED((client = reach(second_port)) >= 0);
	NEED(unlink(at("data/standby.signal")) == 0);
	/* with a letter in it: four timelines of digits alone read as a decimal count, as they would to a person */
	NEED(put(at("data/timeline/%08X.history", 0xA0 + getpid() % 80), "1\n") == 0);
	close(client);
	close(second);
	return 0;
}

/* Redis on SIGTERM: saves to temp-PID.rdb, renames it, takes its pid file away. */
int shutdown_path(void)
{
	const char *fresh = at("data/temp-%d.rdb", getpid());

	NEED(put(at("run/app.pid"), "1\n") == 0);
	NEED(kill(getpid(), SIGTERM) == 0);
	NEED(stop_asked);
	NEED(put(fresh, "REDIS0011") == 0);
	NEED(rename(fresh, at("data/dump.rdb")) == 0);
	NEED(unlink(at("run/app.pid")) == 0);
	return 0;
}
