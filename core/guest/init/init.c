/*
 * The VM's /init: mounts what BEAM needs, starts it, reaps children, forwards
 * shutdown, and says on the console what happened. Protocol (boot file and
 * console marks): docs/architecture.md, "The guest".
 *
 * As pid 1 it must never return: the kernel panics when init exits. Every path
 * ends in power_off().
 *
 * No stdio: a line is one write(2), so that it is not torn by what BEAM writes
 * to the same terminal, and the binary stays small. Constants from kernel uapi
 * headers are repeated here because musl-gcc has no linux/ directory.
 *
 *     init --check FILE    print FILE as it is understood, or what is wrong
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <net/route.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BOOT_FILE "/etc/leanlab/boot"
#define RUN_DIR "/run/leanlab"
#define READY RUN_DIR "/ready"
#define UDHCPC "/sbin/udhcpc"

/* The same limits stand in guest.go. */
#define MAX_FILE 65536
#define MAX_WORDS 256
#define MAX_READY 1024

enum { SIGNALS, WATCH, OUTPUT, INPUTS, NFDS = INPUTS + 8 }; /* what run() polls */

struct boot {
	const char *hostname, *chdir, *address, *dhcp, *exec, *ready;
	unsigned uid, gid, stop_timeout;
	char *args[MAX_WORDS + 2]; /* argv: exec first, NULL last */
	char *env[MAX_WORDS + 1];
	const char *modules[MAX_WORDS];
	int nargs, nenv, nmodules;
};

static struct boot boot = { .stop_timeout = 10 };

static struct { char name[IFNAMSIZ]; struct in_addr addr, mask, gateway; } iface; /* boot.address */

/* ---- console ---- */

static char *dec(unsigned long long n, char buf[24])
{
	char *p = buf + 23;

	*p = 0;
	do
		*--p = '0' + n % 10;
	while (n /= 10);
	return p;
}

/* Writes its arguments, up to NULL, with one write(2). */
static void __attribute__((sentinel)) put(int fd, const char *s, ...)
{
	static char buf[MAX_FILE];
	size_t n = 0;
	va_list ap;

	va_start(ap, s);
	for (; s; s = va_arg(ap, const char *))
		while (*s && n < sizeof buf)
			buf[n++] = *s++;
	va_end(ap);
	while (write(fd, buf, n) < 0 && errno == EINTR)
		;
}

#define say(...) put(1, "leanlab: ", __VA_ARGS__, "\n", NULL)

static unsigned long long uptime_ns(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- boot file ---- */

static int parse_number(const char **s, unsigned max, unsigned *n)
{
	unsigned long long v = 0;
	const char *p = *s;

	for (; *p >= '0' && *p <= '9'; p++)
		if ((v = v * 10 + (*p - '0')) > max)
			return 0;
	if (p == *s)
		return 0;
	*n = v;
	*s = p;
	return 1;
}

/* IFACE ADDRESS/BITS GATEWAY, in IPv4, into `iface`. */
static int parse_address(const char *value)
{
	char text[64], *rest = text, *name, *addr, *gateway;
	const char *bits;
	unsigned n;

	if (strlen(value) >= sizeof text)
		return 0;
	strcpy(text, value);
	name = strsep(&rest, " ");
	addr = strsep(&rest, "/");
	if (!(bits = strsep(&rest, " ")) || !(gateway = rest) || !*name || strlen(name) >= IFNAMSIZ ||
	    !parse_number(&bits, 32, &n) || *bits)
		return 0;
	strcpy(iface.name, name);
	iface.mask.s_addr = htonl(n ? ~0u << (32 - n) : 0);
	return inet_pton(AF_INET, addr, &iface.addr) == 1 && inet_pton(AF_INET, gateway, &iface.gateway) == 1;
}

/* One directive. Returns what is wrong with it, or NULL. */
static const char *parse_line(char *line)
{
	static const struct { const char *name, **field; int path; } strings[] = {
		{ "hostname", &boot.hostname, 0 }, { "dhcp", &boot.dhcp, 0 },
		{ "chdir", &boot.chdir, 1 }, { "exec", &boot.exec, 1 },
		{ "address", &boot.address, 0 }, { "ready", &boot.ready, 0 },
	};
	char *space = strchr(line, ' ');
	const char *value = "";
	size_t i;

	if (!*line || *line == '#')
		return NULL;
	if (space) {
		*space = 0;
		value = space + 1; /* the rest, literally: one space separates */
	}
	for (i = 0; i < sizeof strings / sizeof *strings; i++)
		if (!strcmp(line, strings[i].name)) {
			if (*strings[i].field)
				return "given twice";
			if (!*value || (strings[i].path && *value != '/'))
				return strings[i].path ? "needs an absolute path" : "needs a value";
			if (strings[i].field == &boot.address && !parse_address(value))
				return "needs IFACE ADDRESS/BITS GATEWAY";
			if (strings[i].field == &boot.ready && strlen(value) > MAX_READY)
				return "needs at most 1024 bytes";
			*strings[i].field = value;
			return NULL;
		}
	if (!strcmp(line, "arg")) {
		if (boot.nargs == MAX_WORDS)
			return "more than 256 arguments";
		boot.args[1 + boot.nargs++] = (char *)value;
		return NULL;
	}
	if (!strcmp(line, "env")) {
		if (*value == '=' || !strchr(value, '='))
			return "needs NAME=VALUE";
		if (boot.nenv == MAX_WORDS)
			return "more than 256 variables";
		boot.env[boot.nenv++] = (char *)value;
		return NULL;
	}
	if (!strcmp(line, "module")) {
		if (*value != '/')
			return "needs an absolute path";
		if (boot.nmodules == MAX_WORDS)
			return "more than 256 modules";
		boot.modules[boot.nmodules++] = value;
		return NULL;
	}
	if (!strcmp(line, "user")) {
		/* (uid_t)-1 means "no change" to setuid and chown */
		if (parse_number(&value, 4294967294u, &boot.uid) && *value++ == ' ' &&
		    parse_number(&value, 4294967294u, &boot.gid) && !*value)
			return NULL;
		return "needs UID GID, two numbers";
	}
	if (!strcmp(line, "stop-timeout"))
		return parse_number(&value, 86400, &boot.stop_timeout) && !*value ?
			NULL : "needs a number of seconds, at most 86400";
	return "unknown directive";
}

/* Reads a file of at most cap-1 bytes, NUL-terminated; -1 sets errno. */
static ssize_t read_file(const char *path, char *buf, size_t cap)
{
	size_t n = 0;
	ssize_t r = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;

	if (fd < 0)
		return -1;
	while (n < cap && (r = read(fd, buf + n, cap - n)) > 0)
		n += r;
	saved = errno;
	close(fd);
	if (n == cap || r < 0) {
		errno = n == cap ? EFBIG : saved;
		return -1;
	}
	buf[n] = 0;
	return n;
}

/* Fills `boot`, which then points into a static buffer. Says what is wrong. */
static int read_boot(const char *path)
{
	static char text[MAX_FILE + 1];
	ssize_t size = read_file(path, text, sizeof text);
	char *line = text, *end, number[24];
	int nr = 1;

	if (size < 0) {
		say(path, ": ", strerror(errno));
		return 0;
	}
	for (; line < text + size; line = end + 1, nr++) {
		const char *wrong;

		end = memchr(line, '\n', text + size - line);
		if (!end)
			end = text + size;
		*end = 0;
		wrong = strlen(line) == (size_t)(end - line) ?
			parse_line(line) : "holds a NUL byte";
		if (wrong) {
			say(path, ":", dec(nr, number), ": ", line, ": ", wrong);
			return 0;
		}
	}
	if (!boot.exec) {
		say(path, ": there is no `exec` line: nothing to run");
		return 0;
	}
	boot.args[0] = (char *)boot.exec;
	return 1;
}

/* Prints the boot file as understood, in the form that guest.Boot.Encode writes. */
static void print_boot(void)
{
	char a[24], b[24];
	int i;

	if (boot.hostname)
		put(1, "hostname ", boot.hostname, "\n", NULL);
	put(1, "user ", dec(boot.uid, a), " ", dec(boot.gid, b), "\n", NULL);
	if (boot.chdir)
		put(1, "chdir ", boot.chdir, "\n", NULL);
	for (i = 0; i < boot.nenv; i++)
		put(1, "env ", boot.env[i], "\n", NULL);
	for (i = 0; i < boot.nmodules; i++)
		put(1, "module ", boot.modules[i], "\n", NULL);
	if (boot.address)
		put(1, "address ", boot.address, "\n", NULL);
	if (boot.dhcp)
		put(1, "dhcp ", boot.dhcp, "\n", NULL);
	if (boot.ready)
		put(1, "ready ", boot.ready, "\n", NULL);
	put(1, "exec ", boot.exec, "\n", NULL);
	for (i = 1; i <= boot.nargs; i++)
		put(1, "arg ", boot.args[i], "\n", NULL);
	put(1, "stop-timeout ", dec(boot.stop_timeout, a), "\n", NULL);
}

/* ---- setting up ---- */

/* EBUSY: the kernel has mounted it. ENODEV: the kernel does without it. */
static void mount_at(const char *type, const char *dir, unsigned long flags, const char *data)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, flags, data) && errno != EBUSY && errno != ENODEV)
		say("cannot mount ", type, " on ", dir, ": ", strerror(errno));
}

/* Puts memory over a root that cannot be written to, as a squashfs, so that a
 * crash dump, a database below the home directory or a file that a release
 * rewrites has its place as in an initramfs (Linux, Documentation/filesystems/
 * overlayfs.rst). /run is where a directory is at hand; the new root hides it. */
static void cover_root(void)
{
	if (!access("/", W_OK) || mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"))
		return; /* then mount_all does what can be done */
	if (mkdir("/run/upper", 0755) || mkdir("/run/work", 0755) || mkdir("/run/root", 0755) ||
	    mount("overlay", "/run/root", "overlay", 0, "lowerdir=/,upperdir=/run/upper,workdir=/run/work") ||
	    chdir("/run/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		say("nothing can be written outside /run and /tmp: overlayfs: ", strerror(errno));
}

static void mount_all(void)
{
	mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
	mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	/* An initramfs is memory already, and so is what covers another root. */
	mkdir("/run", 0755);
	mkdir("/tmp", 01777);
	if (access("/run", W_OK))
		mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
	if (access("/tmp", W_OK))
		mount_at("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	else
		chmod("/tmp", 01777);
}

/* Opened anew: the kernel's own (if its root had a console at all) is below the
 * /dev just mounted, where ttyname(3) does not find it. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return;
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
}

/* BEAM reserves far more address space than it touches; with the kernel's
 * heuristic (mode 0) mmap refuses that on a small machine and BEAM dies. */
static void allow_overcommit(void)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		say("cannot set vm.overcommit_memory=1 (", strerror(errno),
		    "): on little memory BEAM may fail to start");
	close(fd);
}

/* Credits what a hardware generator gives, when the kernel's pool is not ready
 * (getrandom(2): EAGAIN). Nothing else is random enough to be credited: not the
 * clock, not a seed that is in every copy of an image. Without a generator,
 * whoever first wants random bytes waits for the kernel's own collection. */
static void seed_entropy(void)
{
	struct { int bits, size; unsigned char bytes[64]; } pool;
	const unsigned long add = _IOW('R', 0x03, int[2]); /* RNDADDENTROPY, random(4) */
	int from, to;
	ssize_t n = -1;

	if (getrandom(pool.bytes, 1, GRND_NONBLOCK) == 1)
		return;
	from = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (from >= 0) {
		n = read(from, pool.bytes, sizeof pool.bytes);
		close(from);
	}
	if (n <= 0) {
		say("no hardware random numbers: the first use may wait for the kernel's own");
		return;
	}
	to = open("/dev/random", O_WRONLY | O_CLOEXEC);
	pool.size = n;
	pool.bits = n * 8;
	if (to < 0 || ioctl(to, add, &pool))
		say("cannot seed the kernel's random numbers: ", strerror(errno));
	close(to);
	explicit_bzero(&pool, sizeof pool);
}

/* In the boot file's order, which is that of their dependencies; uncompressed, so
 * that no modprobe and no decompressor is needed (init_module(2)). */
static void load_modules(void)
{
	int i, fd;

	for (i = 0; i < boot.nmodules; i++) {
		fd = open(boot.modules[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			say("module ", boot.modules[i], ": ", strerror(errno));
		close(fd);
	}
}

/* The kernel gives lo 127.0.0.1 by itself when it goes up (net/ipv4/devinet.c). */
static void interface_up(const char *name)
{
	struct ifreq req = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(req.ifr_name, name, IFNAMSIZ - 1);
	if (fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &req)) {
		req.ifr_flags |= IFF_UP;
		errno = 0;
		ioctl(fd, SIOCSIFFLAGS, &req);
	}
	if (errno && errno != EAFNOSUPPORT) /* that: a kernel without networking */
		say("cannot bring up ", name, ": ", strerror(errno));
	close(fd);
}

static void set_address(void)
{
	struct ifreq req = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&req.ifr_addr;
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	errno = 0;
	strcpy(req.ifr_name, iface.name);
	in->sin_family = AF_INET;
	in->sin_addr = iface.addr;
	if (!ioctl(fd, SIOCSIFADDR, &req)) {
		in->sin_addr = iface.mask;
		ioctl(fd, SIOCSIFNETMASK, &req);
		interface_up(iface.name);
		in->sin_addr = iface.gateway;
		memcpy(&route.rt_gateway, in, sizeof *in);
		in->sin_addr.s_addr = 0;
		memcpy(&route.rt_dst, in, sizeof *in);
		memcpy(&route.rt_genmask, in, sizeof *in);
		ioctl(fd, SIOCADDRT, &route);
	}
	if (errno)
		say("address ", boot.address, ": ", strerror(errno));
	close(fd);
}

/* Looks for a word of the kernel command line. Returns NULL, or what follows
 * where the word ends with =. */
static const char *cmdline_word(const char *word)
{
	static char text[4097];
	char *p, *rest = text;
	size_t n = strlen(word);

	if (read_file("/proc/cmdline", text, sizeof text) < 0)
		return NULL;
	while ((p = strsep(&rest, " \n")))
		if (!strncmp(p, word, n) && (!p[n] || word[n - 1] == '='))
			return p + n;
	return NULL;
}

/* ---- children ---- */

static sigset_t caught;

static pid_t start_dhcp(void)
{
	char *argv[] = { "udhcpc", "-f", "-i", (char *)boot.dhcp, NULL };
	char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	pid_t pid = fork();
	int log;

	if (pid)
		return pid;
	/* In the background of whoever uses the console: its log goes to dmesg. */
	log = open("/dev/kmsg", O_WRONLY);
	if (log < 0)
		log = open("/dev/null", O_WRONLY);
	dup2(log, 1);
	dup2(log, 2);
	close(0);
	setsid();
	sigprocmask(SIG_UNBLOCK, &caught, NULL);
	interface_up(boot.dhcp);
	execve(UDHCPC, argv, env);
	_exit(127);
}

/* A terminal for a program whose output is searched for `ready`; the console for
 * any other. What is written to it comes out as it is: the console turns \n into
 * \r\n. */
static int open_terminal(int *program)
{
	struct termios tty;
	int unlocked = 0, fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlocked) ||
	    (*program = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		say("ready: no terminal to read from: ", strerror(errno));
		return -1;
	}
	tcgetattr(fd, &tty);
	tty.c_oflag &= ~OPOST;
	tcsetattr(fd, TCSANOW, &tty);
	return fd;
}

/* BEAM leads a session of its own with the console as controlling terminal:
 * without that ^C, job control and the shell's line editing do not work. */
static pid_t start_beam(int terminal)
{
	const char *what = NULL;
	pid_t pid = fork();
	int i;

	if (pid)
		return pid;
	setsid();
	for (i = 0; terminal >= 0 && i < 3; i++)
		dup2(terminal, i);
	ioctl(0, TIOCSCTTY, 1);
	if (fchown(0, boot.uid, boot.gid)) /* as login(1) does */
		errno = 0; /* a read-only /dev: the open descriptors serve */
	sigprocmask(SIG_UNBLOCK, &caught, NULL);
	if (setgroups(0, NULL) && errno != ENOSYS) /* ENOSYS: no CONFIG_MULTIUSER, all are root */
		what = "setgroups";
	else if (boot.gid && setgid(boot.gid))
		what = "setgid";
	else if (boot.uid && setuid(boot.uid))
		what = "setuid";
	else if (boot.chdir && chdir(boot.chdir))
		what = boot.chdir;
	else
		execve(boot.exec, boot.args, boot.env);
	say("cannot run ", boot.exec, ": ", what ? what : "execve", ": ", strerror(errno));
	_exit(127);
}

/* ---- ending ---- */

/* Newest first: what is mounted below another goes before it. */
static void unmount_all(void)
{
	static char text[16385];
	char *dirs[64], *line, *rest = text;
	int n = 0;

	read_file("/proc/mounts", text, sizeof text); /* SOURCE DIR TYPE ... */
	while (n < 64 && (line = strsep(&rest, "\n")) && strsep(&line, " ") && line)
		dirs[n++] = strsep(&line, " ");
	while (n-- > 0)
		if (strncmp(dirs[n], "/dev", 4)) /* the console is still in use */
			umount2(dirs[n], MNT_DETACH);
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

static void __attribute__((noreturn)) power_off(void)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	sync();
	unmount_all();
	say("down");
	tcdrain(1);
	/* In a child: where power cannot be cut the kernel halts and lets the
	 * caller exit (kernel/reboot.c), which in pid 1 would be a panic. */
	if (fork() <= 0)
		reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void print_crash_dump(void)
{
	char path[4096] = "", head[512], *line, *rest = head;
	int fd, i;
	ssize_t n;

	for (i = 0; i < boot.nenv; i++)
		if (!strncmp(boot.env[i], "ERL_CRASH_DUMP=", 15))
			strncpy(path, boot.env[i] + 15, sizeof path - 1);
	if (!*path) {
		if (boot.chdir)
			strncpy(path, boot.chdir, sizeof path - 20);
		strcat(path, "/erl_crash.dump");
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, head, sizeof head - 1);
	close(fd);
	head[n > 0 ? n : 0] = 0;
	say("crash dump in ", path, " (lost at power off unless that is on a disk); it begins:");
	/* =erl_crash_dump:VERSION, date, Slogan, System version, ... */
	for (i = 0; i < 5 && (line = strsep(&rest, "\n")); i++)
		say("  | ", line);
}

static void report_end(int status)
{
	char n[24];

	put(1, "\r\n", NULL);
	if (WIFSIGNALED(status)) {
		say("exit signal=", dec(WTERMSIG(status), n));
		say(boot.exec, " was killed: ", strsignal(WTERMSIG(status)));
	} else {
		say("exit status=", dec(WEXITSTATUS(status), n));
		if (WEXITSTATUS(status))
			say(boot.exec, " ended with status ", dec(WEXITSTATUS(status), n));
	}
	if (status)
		print_crash_dump();
}

/* ---- running ---- */

static unsigned long long deadline; /* of BEAM's shutdown; 0: none */

static void stop_beam(pid_t beam)
{
	if (deadline)
		return;
	deadline = uptime_ns() + boot.stop_timeout * 1000000000ull + 1;
	kill(beam, SIGTERM); /* OTP: erl_signal_handler calls init:stop() */
}

/* Returns 1 when BEAM ended, with its status. */
static int reap(pid_t beam, pid_t dhcp, int *status)
{
	int st, ended = 0;
	char n[24];
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		if (pid == beam) {
			*status = st;
			ended = 1;
		} else if (pid == dhcp && !deadline) {
			say("dhcp ", boot.dhcp, ": ", UDHCPC, " ended, status ",
			    dec(WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st), n),
			    ": there will be no lease");
		}
	return ended;
}

static const char *meminfo(const char *text, const char *key)
{
	static const char zero[] = "0";
	const char *p = strstr(text, key);

	if (!p)
		return zero;
	p += strlen(key);
	return p + strspn(p, " ");
}

static void mark_ready(void)
{
	char text[4096] = "", now[24], total[24], avail[24];
	unsigned long long ns = uptime_ns();

	read_file("/proc/meminfo", text, sizeof text);
	/* BEAM may have left the cursor anywhere and the terminal in raw mode. */
	put(1, "\r\nleanlab: ready uptime=", dec(ns, now),
	    " mem_total_kib=", dec(strtoull(meminfo(text, "MemTotal:"), NULL, 10), total),
	    " mem_available_kib=", dec(strtoull(meminfo(text, "MemAvailable:"), NULL, 10), avail),
	    "\r\n", NULL);
}

/* Copies what the program has printed to the console. Returns whether boot.ready
 * is in it. */
static int relay(int terminal)
{
	static char buf[4 * MAX_READY];
	static size_t kept; /* of what was before: the text may have begun there */
	size_t n, len = boot.ready ? strlen(boot.ready) : 0;
	ssize_t r, w;
	int seen = 0;

	while (terminal >= 0 && (r = read(terminal, buf + kept, sizeof buf - kept)) > 0) {
		for (n = kept + r; r > 0; r -= w)
			if ((w = write(1, buf + n - r, r)) < 0 && errno != EINTR)
				break; /* there is no console: it counts all the same */
			else if (w < 0)
				w = 0;
		seen |= memmem(buf, n, boot.ready, len) != NULL;
		kept = n < len ? n : len - 1;
		memmove(buf, buf + n - kept, kept);
	}
	return seen;
}

static void open_inputs(struct pollfd *fds)
{
	char path[] = "/dev/input/event0";
	int i;

	/* poll(2) ignores the ones that are not there */
	for (i = INPUTS; i < NFDS; i++, path[sizeof path - 2]++) {
		fds[i].fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		fds[i].events = POLLIN;
	}
}

static int power_key(int fd)
{
	/* struct input_event; EV_KEY is 1, KEY_POWER 116 (linux/input-event-codes.h) */
	struct { long time[2]; unsigned short type, code; int value; } event;
	int pressed = 0;

	while (read(fd, &event, sizeof event) == sizeof event)
		pressed |= event.type == 1 && event.code == 116 && event.value == 1;
	return pressed;
}

/* Until BEAM has ended; returns its wait status. */
static int run(pid_t beam, pid_t dhcp, struct pollfd *fds)
{
	struct signalfd_siginfo sig;
	char events[4096];
	int i, status = 0, timeout, ready = 0;

	for (;;) {
		timeout = -1;
		if ((relay(fds[OUTPUT].fd) || !access(READY, F_OK)) && !ready) {
			mark_ready();
			ready = 1;
		}
		if (deadline) {
			long long left = deadline - uptime_ns();

			timeout = left > 0 ? left / 1000000 + 1 : -1;
			if (left <= 0 && boot.stop_timeout) {
				say(boot.exec, " is still running after its stop-timeout: killed");
				boot.stop_timeout = 0;
			}
			if (left <= 0)
				kill(beam, SIGKILL);
		}
		if (poll(fds, NFDS, timeout) < 0)
			continue;
		while (read(fds[WATCH].fd, events, sizeof events) > 0)
			;
		for (i = INPUTS; i < NFDS; i++)
			if (fds[i].revents & POLLIN) {
				if (power_key(fds[i].fd))
					stop_beam(beam);
			} else if (fds[i].revents) {
				fds[i].fd = -1; /* the device is gone */
			}
		while (read(fds[SIGNALS].fd, &sig, sizeof sig) == sizeof sig)
			if (sig.ssi_signo == SIGCHLD) {
				if (reap(beam, dhcp, &status)) {
					if (relay(fds[OUTPUT].fd) && !ready)
						mark_ready();
					return status;
				}
			} else {
				stop_beam(beam);
			}
	}
}

static void use_shell(void)
{
	memset(&boot, 0, sizeof boot);
	boot.exec = boot.args[0] = "/bin/sh";
	boot.env[0] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	boot.env[1] = "TERM=linux";
	boot.nenv = 2;
}

static void serve(void)
{
	struct pollfd fds[NFDS] = { 0 };
	struct termios tty;
	int have_tty, ok, status, terminal = -1;
	pid_t beam, dhcp = -1;
	const char *file = cmdline_word("leanlab.boot=");
	char n[24];

	ok = read_boot(file ? file : BOOT_FILE);
	if (cmdline_word("leanlab.shell"))
		use_shell();
	else if (!ok)
		return;
	if (boot.hostname && sethostname(boot.hostname, strlen(boot.hostname)))
		say("cannot set the hostname: ", strerror(errno));
	allow_overcommit();
	seed_entropy();
	load_modules();
	interface_up("lo");

	if ((mkdir(RUN_DIR, 0755) && errno != EEXIST) || chown(RUN_DIR, boot.uid, boot.gid))
		say(RUN_DIR, ": ", strerror(errno));
	fds[SIGNALS].fd = signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
	fds[WATCH].fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fds[SIGNALS].fd < 0 || fds[WATCH].fd < 0 ||
	    inotify_add_watch(fds[WATCH].fd, RUN_DIR, IN_CREATE | IN_MOVED_TO) < 0) {
		say("signalfd, inotify: ", strerror(errno),
		    ": the kernel needs CONFIG_SIGNALFD and CONFIG_INOTIFY_USER");
		return;
	}
	fds[SIGNALS].events = fds[WATCH].events = fds[OUTPUT].events = POLLIN;
	open_inputs(fds);

	if (boot.address)
		set_address();
	fds[OUTPUT].fd = boot.ready ? open_terminal(&terminal) : -1;
	have_tty = !tcgetattr(0, &tty);
	say("beam uptime=", dec(uptime_ns(), n));
	beam = start_beam(terminal);
	if (beam < 0) {
		say("fork: ", strerror(errno));
		return;
	}
	if (boot.dhcp)
		dhcp = start_dhcp(); /* after BEAM: it never waits for the network */
	status = run(beam, dhcp, fds);
	if (have_tty)
		tcsetattr(0, TCSANOW, &tty); /* BEAM's shell leaves it raw when killed */
	report_end(status);
}

int main(int argc, char **argv)
{
	unsigned long long entered = uptime_ns();
	char n[24];

	if (getpid() != 1) {
		if (argc != 3 || strcmp(argv[1], "--check")) {
			put(2, "usage: init --check FILE (otherwise it runs as pid 1 of a VM)\n", NULL);
			return 2;
		}
		if (!read_boot(argv[2]))
			return 1;
		print_boot();
		return 0;
	}
	reboot(RB_DISABLE_CAD); /* ctrl-alt-del is then SIGINT to pid 1 */
	sigemptyset(&caught);
	sigaddset(&caught, SIGCHLD);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGINT);
	sigaddset(&caught, SIGPWR);
	sigaddset(&caught, SIGUSR2); /* BusyBox poweroff */
	sigprocmask(SIG_BLOCK, &caught, NULL);
	cover_root();
	mount_all();
	open_console();
	say("init uptime=", dec(entered, n));
	serve();
	power_off();
}
