/* A TCP proxy on loopback that hands everything on a fixed time later, in order.
 *
 *     delay_proxy UPSTREAM_PORT DELAY_US
 *
 * Prints the port on which it listens, serves until its standard input ends. One thread,
 * epoll, one timer: what it costs is a few microseconds a packet, and no packet waits for
 * another one's delay.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536

typedef struct packet {
    struct packet *next;
    uint64_t due;
    size_t size, sent;
    char data[];
} packet;

/* One end of a connection: what it has to send stands in its line. */
typedef struct end {
    int fd;
    struct end *other;
    packet *first, *last;
    struct end *previous_end, *next_end;
} end;

static int poller, timer, upstream;
static uint64_t delay_ns;
static end *ends;
static end listening, stopping, ticking;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void watch(int fd, end *of) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = of};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static end *new_end(int fd) {
    int one = 1;
    end *e = calloc(1, sizeof *e);
    e->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    e->next_end = ends;
    if (ends) ends->previous_end = e;
    ends = e;
    watch(fd, e);
    return e;
}

static void drop(end *e) {
    if (e->fd < 0) return;
    close(e->fd);
    e->fd = -1;
    while (e->first) {
        packet *gone = e->first;
        e->first = gone->next;
        free(gone);
    }
    e->last = NULL;
}

static void part(end *e) {
    drop(e);
    drop(e->other);
}

static void welcome(void) {
    int fd = accept(listening.fd, NULL, NULL);
    if (fd < 0) return;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)upstream)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int up = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(up, (struct sockaddr *)&to, sizeof to) < 0) {
        close(fd);
        close(up);
        return;
    }
    end *a = new_end(fd), *b = new_end(up);
    a->other = b;
    b->other = a;
}

static void hear(end *e) {
    static char buffer[PIECE];
    ssize_t size = read(e->fd, buffer, PIECE);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        part(e);
        return;
    }
    packet *p = malloc(sizeof *p + (size_t)size);
    p->next = NULL;
    p->due = now_ns() + delay_ns;
    p->size = (size_t)size;
    p->sent = 0;
    memcpy(p->data, buffer, (size_t)size);
    end *to = e->other;
    if (to->last) to->last->next = p; else to->first = p;
    to->last = p;
}

/* Send what is due; returns when the next packet is, or 0. */
static uint64_t send_due(uint64_t now) {
    uint64_t next = 0;
    for (end *e = ends; e; e = e->next_end) {
        while (e->fd >= 0 && e->first && e->first->due <= now) {
            packet *p = e->first;
            ssize_t sent = write(e->fd, p->data + p->sent, p->size - p->sent);
            if (sent < 0 && errno != EAGAIN) {
                part(e);
                break;
            }
            if (sent > 0) p->sent += (size_t)sent;
            if (p->sent < p->size) {
                p->due = now + 100000; /* its reader is slow: again in 0.1 ms */
                break;
            }
            e->first = p->next;
            if (!e->first) e->last = NULL;
            free(p);
        }
        if (e->fd >= 0 && e->first && (!next || e->first->due < next)) next = e->first->due;
    }
    return next;
}

static void forget_gone(void) {
    for (end *e = ends, *after; e; e = after) {
        after = e->next_end;
        if (e->fd >= 0 || e->other->fd >= 0) continue;
        end *pair[2] = {e, e->other};
        if (after == e->other) after = after->next_end;
        for (int n = 0; n < 2; n++) {
            if (pair[n]->previous_end) pair[n]->previous_end->next_end = pair[n]->next_end;
            else ends = pair[n]->next_end;
            if (pair[n]->next_end) pair[n]->next_end->previous_end = pair[n]->previous_end;
            free(pair[n]);
        }
    }
}

int main(int count, char **words) {
    if (count != 3) return 2;
    upstream = atoi(words[1]);
    delay_ns = strtoull(words[2], NULL, 10) * 1000;
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening.fd, (struct sockaddr *)&at, sizeof at) < 0) return 1;
    listen(listening.fd, 512);
    getsockname(listening.fd, (struct sockaddr *)&at, &size);
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(listening.fd, &listening);
    watch(timer, &ticking);
    watch(STDIN_FILENO, &stopping);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, -1);
        for (int n = 0; n < ready; n++) {
            end *e = events[n].data.ptr;
            uint64_t ticks;
            if (e == &stopping) return 0;
            if (e == &listening) welcome();
            else if (e == &ticking) (void)!read(timer, &ticks, sizeof ticks);
            else if (e->fd >= 0) hear(e);
        }
        uint64_t next = send_due(now_ns());
        struct itimerspec when = {0};
        when.it_value.tv_sec = (time_t)(next / 1000000000ull);
        when.it_value.tv_nsec = (long)(next % 1000000000ull);
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        forget_gone();
    }
}
