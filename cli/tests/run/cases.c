/* Programs that tell what the system does: run by itself and under `afunix run`, each must print
 * the same. A case is named by the first argument. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TELL(call) tell(#call, (long)(call))

static long tell(const char *call, long result)
{
    if (result < 0)
        printf("%s = -1 %s\n", call, strerrorname_np(errno));
    else
        printf("%s = %ld\n", call, result);
    fflush(stdout);
    return result;
}

static struct sockaddr_un path_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}

static int bind_to(int fd, const char *path)
{
    struct sockaddr_un address = path_of(path);
    return bind(fd, (void *)&address, sizeof address);
}

static int connect_to(int fd, const char *path)
{
    struct sockaddr_un address = path_of(path);
    return connect(fd, (void *)&address, sizeof address);
}

static int polled(int fd)
{
    struct pollfd poll_fd = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    poll(&poll_fd, 1, 0);
    return poll_fd.revents;
}

static void wait_child(void)
{
    int status;
    wait(&status);
    printf("child: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void send_fd(int socket, int fd)
{
    char byte = 'f', control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    TELL(sendmsg(socket, &message, 0));
}

static int receive_fd(int socket)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    TELL(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    printf("flags %x, descriptor %s\n", message.msg_flags, fd >= 0 ? "received" : "missing");
    return fd;
}

static void pair(void)
{
    int fds[2], type;
    char bytes[100];
    struct stat stat;
    socklen_t len = sizeof type;
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    printf("numbers %d %d\n", fds[0], fds[1]);
    TELL(write(fds[0], "hello", 5));
    TELL(read(fds[1], bytes, sizeof bytes));
    TELL(fstat(fds[0], &stat));
    printf("mode %o\n", stat.st_mode);
    TELL(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &len));
    TELL(lseek(fds[0], 0, SEEK_SET));
    TELL(pread(fds[0], bytes, 1, 0));
    TELL(close(fds[0]));
    TELL(read(fds[1], bytes, sizeof bytes));
    TELL(send(fds[1], "x", 1, MSG_NOSIGNAL));
    TELL(socket(AF_UNIX, SOCK_RDM, 0));
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 7, fds));
    TELL(socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
    TELL(socket(AF_INET, SOCK_STREAM, 0) < 0 ? 1 : 0);
}

static void two_processes(void)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), n;
    char bytes[100];
    struct stat stat_buffer;
    umask(027);
    TELL(bind_to(listener, "server"));
    TELL(bind_to(listener, "server"));
    TELL(stat("server", &stat_buffer));
    printf("mode %o\n", stat_buffer.st_mode);
    TELL(listen(listener, 1));
    if (fork() == 0) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect_to(client, "server"))
            _exit(1);
        if (write(client, "ping", 4) != 4)
            _exit(2);
        n = read(client, bytes, sizeof bytes);
        _exit(n == 4 ? 7 : 3);
    }
    struct sockaddr_un name;
    socklen_t len = sizeof name;
    int connection = accept(listener, (void *)&name, &len);
    printf("accepted, name length %d\n", (int)len);
    TELL(read(connection, bytes, sizeof bytes));
    TELL(write(connection, "pong", 4));
    wait_child();
    TELL(read(connection, bytes, sizeof bytes));
    len = sizeof name;
    TELL(getsockname(connection, (void *)&name, &len));
    printf("%s, length %d\n", name.sun_path, (int)len);
    TELL(rename("server", "renamed"));
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    TELL(connect_to(client, "server"));
    TELL(connect_to(client, "renamed"));
    TELL(close(listener));
    int again = socket(AF_UNIX, SOCK_STREAM, 0);
    TELL(connect_to(again, "renamed"));
    TELL(bind_to(again, "renamed"));
    TELL(bind_to(again, "missing/directory"));
    TELL(unlink("renamed"));
    TELL(bind_to(again, "renamed"));
    TELL(open("renamed", O_RDWR));
}

static void names(void)
{
    int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, "\0afunix", 7);
    socklen_t len = 2 + 7;
    TELL(bind(one, (void *)&name, len));
    TELL(bind(two, (void *)&name, len));
    TELL(listen(one, 5));
    TELL(connect(two, (void *)&name, len));
    TELL(connect(two, (void *)&name, len));
    len = sizeof name;
    TELL(getpeername(two, (void *)&name, &len));
    printf("length %d\n", (int)len);
    TELL(bind(two, (void *)&name, 200));
    TELL(bind(two, (void *)&name, 1));
    name.sun_family = AF_INET;
    TELL(bind(two, (void *)&name, 10));
    TELL(getsockname(two, (void *)8, &len));
    len = -1;
    TELL(getsockname(two, (void *)&name, &len));
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    TELL(listen(datagram, 1));
    TELL(connect_to(datagram, "/nonexistent/socket"));
    name.sun_family = AF_UNIX;
    TELL(bind(datagram, (void *)&name, 2));
    len = sizeof name;
    TELL(getsockname(datagram, (void *)&name, &len));
    printf("autobound, length %d\n", (int)len);
}

static void descriptors(void)
{
    int fds[2], pipes[2];
    char bytes[100] = {0};
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    int file = open("file", O_RDWR | O_CREAT, 0600);
    TELL(write(file, "in the file", 11));
    send_fd(fds[0], file);
    TELL(close(file));
    int received = receive_fd(fds[1]);
    TELL(fcntl(received, F_GETFD));
    /* The same open file: it stands where it stood. */
    TELL(lseek(received, 0, SEEK_CUR));
    TELL(pread(received, bytes, 100, 0));
    printf("%s\n", bytes);
    TELL(pipe(pipes));
    send_fd(fds[0], pipes[0]);
    TELL(close(pipes[0]));
    int reader = receive_fd(fds[1]);
    TELL(write(pipes[1], "through", 7));
    TELL(read(reader, bytes, 100));
    /* A socket through a socket; closed everywhere else. */
    int other[2];
    TELL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, other));
    send_fd(fds[0], other[0]);
    TELL(close(other[0]));
    TELL(write(other[1], "record", 6));
    int socket = receive_fd(fds[1]);
    TELL(read(socket, bytes, 100));
    /* A read takes no descriptors. */
    send_fd(fds[0], other[1]);
    TELL(close(other[1]));
    TELL(read(fds[1], bytes, 100));
    TELL(read(socket, bytes, 100));
    int bad = 99;
    send_fd(fds[0], bad);
}

static void credentials(void)
{
    int fds[2], on = 1;
    struct ucred cred;
    socklen_t len = sizeof cred;
    char byte, control[CMSG_SPACE(sizeof cred)];
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    TELL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
    TELL(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
    printf("own: %d %d\n", cred.pid == getpid(), cred.uid == geteuid());
    TELL(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    pid_t child = fork();
    if (child == 0)
        _exit(write(fds[0], "c", 1) == 1 ? 0 : 1);
    wait_child();
    TELL(recvmsg(fds[1], &message, 0));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    memcpy(&cred, CMSG_DATA(head), sizeof cred);
    printf("type %d, child's: %d\n", head->cmsg_type, cred.pid == child);
}

static void readiness(void)
{
    int fds[2], all[2], timeout = 1000;
    char bytes[70000] = {0};
    TELL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    TELL(pipe(all));
    int queue = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 1}}, events[4];
    TELL(epoll_ctl(queue, EPOLL_CTL_ADD, fds[1], &event));
    event.data.u32 = 2;
    TELL(epoll_ctl(queue, EPOLL_CTL_ADD, all[0], &event));
    TELL(epoll_wait(queue, events, 4, 0));
    printf("idle %x\n", polled(fds[1]));
    TELL(read(fds[1], bytes, 1));
    TELL(write(fds[0], "ab", 2));
    TELL(epoll_wait(queue, events, 4, timeout));
    printf("readable %x\n", polled(fds[1]));
    TELL(write(all[1], "p", 1));
    TELL(epoll_wait(queue, events, 4, timeout));
    TELL(read(fds[1], bytes, 1));
    printf("still readable %x\n", polled(fds[1]));
    TELL(read(fds[1], bytes, 1));
    printf("idle %x\n", polled(fds[1]));
    long sum = 0, n;
    while ((n = write(fds[0], bytes, sizeof bytes)) > 0)
        sum += n;
    printf("took %ld, then %s: %x\n", sum, strerrorname_np(errno), polled(fds[0]));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    struct timeval none = {0, 0};
    TELL(select(fds[0] + 1, NULL, &set, NULL, &none));
    while ((n = read(fds[1], bytes, sizeof bytes)) > 0)
        sum -= n;
    printf("left %ld: %x\n", sum, polled(fds[0]));
    TELL(send(fds[0], "!", 1, MSG_OOB));
    printf("urgent %x\n", polled(fds[1]));
    TELL(recv(fds[1], bytes, 1, MSG_OOB));
    TELL(recv(fds[1], bytes, 1, 0));
    printf("no more %x\n", polled(fds[1]));
    TELL(shutdown(fds[0], SHUT_WR));
    printf("shut %x %x\n", polled(fds[0]), polled(fds[1]));
    TELL(close(fds[0]));
    printf("closed %x\n", polled(fds[1]));
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    TELL(bind_to(listener, "poll"));
    TELL(listen(listener, 5));
    printf("listener %x\n", polled(listener));
    TELL(connect_to(client, "poll"));
    printf("waiting %x, client %x\n", polled(listener), polled(client));
    TELL(close(accept(listener, NULL, NULL)));
    printf("none %x, client %x\n", polled(listener), polled(client));
}

static void on_alarm(int signal)
{
    (void)signal;
}

static void signals(void)
{
    int fds[2];
    char bytes[10];
    struct itimerval soon = {.it_value = {0, 50000}}, never = {0};
    struct sigaction action = {.sa_handler = on_alarm};
    struct timeval time = {0, 100000};
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    TELL(read(fds[0], bytes, 10));
    /* With SA_RESTART the call goes on, and the other's bytes come. */
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    if (fork() == 0) {
        usleep(150000);
        _exit(write(fds[1], "late", 4) == 4 ? 0 : 1);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    TELL(read(fds[0], bytes, 10));
    setitimer(ITIMER_REAL, &never, NULL);
    wait_child();
    TELL(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    TELL(read(fds[0], bytes, 10));
    setitimer(ITIMER_REAL, &soon, NULL);
    TELL(read(fds[0], bytes, 10));
    TELL(close(fds[1]));
    signal(SIGPIPE, SIG_IGN);
    TELL(write(fds[0], "x", 1));
    fflush(stdout);
    if (fork() == 0) {
        signal(SIGPIPE, SIG_DFL);
        _exit((int)write(fds[0], "x", 1));
    }
    wait_child();
}

static volatile long interrupted;

/* read and write as a program does that is interrupted all the time. */
static long move(int fd, void *bytes, int writes)
{
    long result;
    while ((result = writes ? write(fd, bytes, 8) : read(fd, bytes, 8)) < 0 && errno == EINTR)
        interrupted++;
    return result;
}

static void ping_pong(int type, int flags)
{
    const long count = 500;
    int fds[2];
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    socketpair(AF_UNIX, type, 0, fds);
    pid_t child = fork();
    setitimer(ITIMER_REAL, &often, NULL);
    long number = 0, at;
    if (child == 0) {
        for (at = 0; at < count; at++)
            if (move(fds[1], &number, 0) != 8 || number != at || move(fds[1], &number, 1) != 8)
                _exit(1);
        _exit(0);
    }
    interrupted = 0;
    for (at = 0; at < count; at++) {
        number = at;
        if (move(fds[0], &number, 1) != 8 || move(fds[0], &number, 0) != 8 || number != at)
            break;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%ld of %ld came back\n", at, count);
    if (flags)
        printf("%ld interrupted\n", interrupted);
    wait_child();
}

static void interruptions(void)
{
    ping_pong(SOCK_STREAM, 0);
    ping_pong(SOCK_SEQPACKET, 0);
    ping_pong(SOCK_STREAM, SA_RESTART);
    ping_pong(SOCK_SEQPACKET, SA_RESTART);
}

static void *reader(void *fd)
{
    char bytes[10];
    return (void *)(long)read(*(int *)fd, bytes, 10);
}

static void threads(void)
{
    int fds[2];
    pthread_t thread;
    void *result;
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    pthread_create(&thread, NULL, reader, &fds[0]);
    usleep(50000);
    /* A call in progress holds the file: a close by another thread wakes nobody. */
    TELL(close(fds[0]));
    TELL(write(fds[1], "abc", 3));
    pthread_join(thread, &result);
    printf("thread read %ld\n", (long)result);
    TELL(send(fds[1], "x", 1, MSG_NOSIGNAL));
}

static void programs(char *own)
{
    int fds[2];
    char number[16], bytes[10];
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    TELL(fcntl(fds[1], F_SETFD, FD_CLOEXEC));
    if (fork() == 0) {
        sprintf(number, "%d", fds[0]);
        execl(own, own, "executed", number, NULL);
        _exit(1);
    }
    close(fds[0]);
    TELL(read(fds[1], bytes, 10));
    wait_child();
    TELL(read(fds[1], bytes, 10));
}

static void executed(int fd)
{
    int kept = dup(fd);
    close(fd);
    dprintf(kept, "hello");
    _exit(fcntl(fd + 1, F_GETFD) < 0 ? 5 : 6);
}

static void hostile(void)
{
    int fds[2];
    char bytes[10];
    struct msghdr message = {.msg_control = (void *)8, .msg_controllen = 24};
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    TELL(write(fds[0], (void *)8, 5));
    TELL(write(fds[0], "abc", 3));
    TELL(read(fds[1], (void *)8, 5));
    TELL(read(fds[1], bytes, 10));
    TELL(sendmsg(fds[0], (void *)8, 0));
    TELL(sendmsg(fds[0], &message, 0));
    TELL(recvmsg(fds[0], (void *)8, MSG_DONTWAIT));
    TELL(writev(fds[0], (void *)8, 1));
    TELL(writev(fds[0], (void *)8, 2000));
    TELL(bind(fds[0], (void *)8, 10));
    TELL(connect(fds[0], NULL, 10));
    TELL(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, (void *)8, (void *)8));
    TELL(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, (void *)8, 4));
    TELL(ioctl(fds[0], FIONREAD, (void *)8));
    TELL(accept(fds[0], NULL, NULL));
    TELL(listen(fds[0], 1));
    TELL(shutdown(fds[0], 9));
    TELL(read(99, bytes, 10));
}

static void messages(void)
{
    int fds[2];
    char bytes[2][10] = {"one", "three"};
    struct iovec data[2] = {{bytes[0], 3}, {bytes[1], 5}};
    struct mmsghdr many[2] = {{{.msg_iov = &data[0], .msg_iovlen = 1}, 0},
                              {{.msg_iov = &data[1], .msg_iovlen = 1}, 0}};
    TELL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
    TELL(sendmmsg(fds[0], many, 2, 0));
    printf("%d %d\n", many[0].msg_len, many[1].msg_len);
    TELL(recvmmsg(fds[1], many, 2, 0, NULL));
    printf("%d %d\n", many[0].msg_len, many[1].msg_len);
    TELL(writev(fds[0], data, 2));
    TELL(recv(fds[1], bytes, 4, MSG_TRUNC));
    TELL(recv(fds[1], bytes, 4, MSG_DONTWAIT));
    int file = open("sent", O_RDWR | O_CREAT, 0600);
    TELL(write(file, "0123456789", 10));
    off_t offset = 3;
    TELL(sendfile(fds[0], file, &offset, 4));
    printf("offset %ld\n", (long)offset);
    TELL(recv(fds[1], bytes[0], 10, 0));
    printf("%.4s\n", bytes[0]);
}

static void closing(void)
{
    int fds[2], queue = epoll_create1(0);
    struct epoll_event event = {EPOLLIN | EPOLLRDHUP, {.u32 = 1}}, events[4];
    char bytes[10];
    for (int at = 0; at < 3; at++) {
        socketpair(AF_UNIX, at == 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0, fds);
        epoll_ctl(queue, EPOLL_CTL_ADD, fds[0], &event);
        if (at == 2)
            write(fds[0], "unread", 6);
        close(fds[1]);
        /* What is closed is seen closed at once. */
        TELL(epoll_wait(queue, events, 4, 0));
        printf("%x %x\n", events[0].events & ~EPOLLERR, polled(fds[0]) & ~POLLERR);
        TELL(read(fds[0], bytes, 10));
        TELL(read(fds[0], bytes, 10));
        TELL(send(fds[0], "x", 1, MSG_NOSIGNAL));
        close(fds[0]);
        TELL(epoll_wait(queue, events, 4, 0));
    }
    /* Two sockets that only each other's queues hold are collected. */
    for (int at = 0; at < 3; at++) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
        send_fd(fds[0], fds[0]);
        send_fd(fds[1], fds[1]);
        close(fds[0]);
        close(fds[1]);
    }
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    TELL(bind_to(listener, "closing"));
    TELL(listen(listener, 5));
    TELL(connect_to(client, "closing"));
    TELL(shutdown(listener, SHUT_RD));
    TELL(accept(listener, NULL, NULL) > 0);
    TELL(accept(listener, NULL, NULL));
}

static void limits(void)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct rlimit limit = {client + 1, 100};
    char bytes[10];
    TELL(bind_to(listener, "limits"));
    TELL(listen(listener, 5));
    TELL(connect_to(client, "limits"));
    TELL(setrlimit(RLIMIT_NOFILE, &limit));
    TELL(accept(listener, NULL, NULL));
    TELL(socket(AF_UNIX, SOCK_STREAM, 0));
    limit.rlim_cur = 100;
    TELL(setrlimit(RLIMIT_NOFILE, &limit));
    /* The connection stayed. */
    int connection = accept(listener, NULL, NULL);
    TELL(write(client, "kept", 4));
    TELL(read(connection, bytes, 10));
    /* A message over the limit, a blocking write over the buffer. */
    char *large = calloc(3000000, 1);
    int fds[2];
    TELL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
    TELL(send(fds[0], large, 3000000, 0));
    if (fork() == 0) {
        long sum = 0, n;
        close(client);
        while ((n = read(connection, large, 3000000)) > 0)
            sum += n;
        _exit(sum == 3000000 ? 0 : 1);
    }
    TELL(write(client, large, 3000000));
    TELL(close(client));
    close(connection);
    wait_child();
}

/* What faults do to it shows, and it never waits. */
static void short_counts(void)
{
    int fds[2];
    char bytes[100];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    for (int at = 0; at < 100; at++) {
        long sent = write(fds[0], bytes, 100), received = read(fds[1], bytes, 100);
        printf("%ld %ld\n", sent, received);
    }
}

static void splicing(void)
{
    int fds[2], pipes[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    pipe(pipes);
    TELL(write(pipes[1], "x", 1));
    TELL(splice(pipes[0], NULL, fds[0], NULL, 1, 0));
}

static void connect_outside(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char bytes[10] = {0};
    TELL(connect_to(fd, path));
    TELL(write(fd, "out", 3));
    TELL(read(fd, bytes, 10));
    printf("%s\n", bytes);
}

int main(int count, char **words)
{
    alarm(30);
    const char *name = count > 1 ? words[1] : "";
    if (!strcmp(name, "executed"))
        executed(atoi(words[2]));
    if (!strcmp(name, "connect_outside")) {
        signal(SIGPIPE, SIG_IGN);
        connect_outside(words[2]);
        return 4;
    }
    struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"pair", pair},           {"two_processes", two_processes},
                 {"names", names},         {"descriptors", descriptors},
                 {"credentials", credentials}, {"readiness", readiness},
                 {"signals", signals},     {"threads", threads},
                 {"interruptions", interruptions},
                 {"hostile", hostile},     {"messages", messages},
                 {"closing", closing},     {"limits", limits},
                 {"short_counts", short_counts}, {"splicing", splicing}};
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++)
        if (!strcmp(cases[at].name, name)) {
            cases[at].run();
            return 4;
        }
    if (!strcmp(name, "programs")) {
        programs(words[0]);
        return 4;
    }
    return 99;
}
