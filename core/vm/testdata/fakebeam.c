/*
 * Stands in for BEAM where a test is about /init and the host's side: it does
 * one thing that BEAM could do, named by its first argument.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void ready(void)
{
	if (mkdir("/run/leanlab/ready", 0755))
		perror("/run/leanlab/ready");
}

/* From here on SIGTERM waits until serve takes it. */
static sigset_t hold_sigterm(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return set;
}

/* Until SIGTERM. */
static int serve(void)
{
	sigset_t set = hold_sigterm();
	int sig;

	ready();
	sigwait(&set, &sig);
	puts("stopping");
	return 0;
}

static int zombies_of_init(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while ((e = readdir(proc))) {
		char path[300], state;
		int parent;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		if (atoi(e->d_name) && (f = fopen(path, "r"))) {
			if (fscanf(f, "%*d (%*[^)]) %c %d", &state, &parent) == 2)
				n += parent == 1 && state == 'Z';
			fclose(f);
		}
	}
	closedir(proc);
	return n;
}

/* Leaves orphans for init, and waits until none is left as a zombie. */
static void make_orphans(void)
{
	int i, left;

	for (i = 0; i < 20; i++)
		if (fork() == 0) {
			if (fork() == 0)
				usleep(1000);
			_exit(0);
		}
	usleep(100000);
	signal(SIGCHLD, SIG_IGN);
	for (i = 0; (left = zombies_of_init()) && i < 100; i++)
		usleep(10000);
	printf("zombies=%d\n", left);
}

static void describe(void)
{
	char text[256] = "", dir[256];
	FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
	struct stat st;

	printf("uid=%d gid=%d groups=%d\n", getuid(), getgid(), getgroups(0, NULL));
	printf("leads its session=%d foreground=%d terminal=%s\n",
	       getsid(0) == getpid(), tcgetpgrp(0) == getpgrp(), ttyname(0));
	printf("cwd=%s HOME=%s PATH=%s\n", getcwd(dir, sizeof dir), getenv("HOME"), getenv("PATH"));
	gethostname(text, sizeof text);
	printf("hostname=%s\n", text);
	if (f && fgets(text, sizeof text, f))
		printf("overcommit=%s", text);
	stat("/tmp", &st);
	printf("tmp=%o lo=%s\n", st.st_mode & 07777, access("/sys/class/net/lo", F_OK) ? "none" : "there");
}

static int fake_iex(void)
{
	struct termios raw;
	char c, line[64];
	size_t n = 0;

	tcgetattr(0, &raw);
	cfmakeraw(&raw);
	tcsetattr(0, TCSANOW, &raw);
	hold_sigterm(); /* it may come as soon as the answer was seen */
	ready();
	printf("\r\n\033[1miex(1)> \033[0m");
	fflush(stdout);
	while (read(0, &c, 1) == 1 && c != '\r')
		if (n < sizeof line - 1)
			line[n++] = c;
	line[n] = 0;
	printf("\r\033[0Kiex(1)> %s\r\n\033[33m%s\033[0m\r\niex(2)> ", line, strcmp(line, "1+1") ? "?" : "2");
	fflush(stdout);
	return serve();
}

/* Says that it listens as a program does that knows nothing of /init: in two
 * writes, behind more than /init keeps of what it reads. */
static int say_listening(void)
{
	int i;

	printf("terminal=%s\n", ttyname(1));
	for (i = 0; i < 300; i++)
		puts("a line of a log, long enough to fill buffers, and in the end all of them");
	fputs("it is liste", stdout);
	fflush(stdout);
	usleep(1000);
	puts("ning");
	return pause();
}

static void show_routes(void)
{
	char line[256], name[32];
	unsigned destination, gateway;
	FILE *f = fopen("/proc/net/route", "r");

	while (f && fgets(line, sizeof line, f)) /* the first line is the heads of columns */
		if (sscanf(line, "%31s %8x %8x", name, &destination, &gateway) == 3)
			printf("route %s %08x %08x\n", name, destination, gateway);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("fake beam: %s\n", what);
	if (!strcmp(what, "serve"))
		return describe(), serve();
	if (!strcmp(what, "listen"))
		return say_listening();
	if (!strcmp(what, "routes"))
		return show_routes(), serve();
	if (!strcmp(what, "orphans"))
		return make_orphans(), serve();
	if (!strcmp(what, "iex"))
		return fake_iex();
	if (!strcmp(what, "exit"))
		return atoi(argv[2]);
	if (!strcmp(what, "task")) /* long enough for init to see that it was ready */
		return ready(), usleep(200000), puts("task done"), atoi(argv[2]);
	if (!strcmp(what, "signal"))
		return raise(atoi(argv[2]));
	if (!strcmp(what, "dump")) {
		FILE *f = fopen(getenv("ERL_CRASH_DUMP"), "w");

		fputs("=erl_crash_dump:0.5\nSun Jan  1 00:00:00 2023\nSlogan: no more of it\n", f);
		fclose(f);
		return 1;
	}
	/* The power button may be pressed once it is ready: the line comes all the same. */
	if (!strcmp(what, "crash"))
		return hold_sigterm(), ready(), puts("Kernel pid terminated (application_controller) (shutdown)"), pause();
	if (!strcmp(what, "hang"))
		return pause();
	if (!strcmp(what, "deaf"))
		return signal(SIGTERM, SIG_IGN), ready(), pause(), 0;
	if (!strcmp(what, "end"))
		return hold_sigterm(), kill(1, SIGTERM), serve();
	return 99;
}
