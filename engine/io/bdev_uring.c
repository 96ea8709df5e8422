/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The io_uring side of a batch, and the pool of rings that batches borrow from.
 *
 * A ring is used by one thread at a time; it has DEPTH pieces, each a part of a transfer of at most
 * BDEV_PIECE bytes; a flush is one piece of no bytes. A short transfer puts the rest of its piece
 * back into the ring. Results that mean "not this way" (-EINVAL of an O_DIRECT file that lied,
 * -EOPNOTSUPP) are done again by a system call, whose answer counts. No registered buffers: RLIMIT_MEMLOCK is small.
 *
 * When RINGS_MAX rings are lent the next batch gets none and preads: waiting for one could deadlock
 * a thread that runs two batches. If io_uring is forbidden once the process runs (a seccomp filter
 * put on after opening) the ring is broken: what the kernel did not take is pread, and no ring is
 * lent any more. If only making rings is forbidden (bdev_rings_reserve was called before) those that
 * exist go on.
 *
 * A ring can read, write and flush what is open, and nothing else: io_uring would otherwise be a way
 * around a seccomp filter.
 *
 * Locks: pool.lock guards the pool only. fork() leaves the child an empty pool: the parent's rings
 * would be shared with it.
 */
#include "engine/io/bdev_priv.h"

#include "engine/util/fault.h"

#include <assert.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 64
#define RINGS_MAX 32

struct piece {
	struct bdev_xfer *x;
	uint32_t start; /* in the transfer */
	uint32_t len;
	struct piece *next; /* free, or prepared */
};

struct bdev_ring {
	struct io_uring uring;
	struct bdev_ring *next; /* in the pool */
	struct piece *free;
	struct piece *prepared; /* not taken by the kernel yet, in order */
	struct piece **prepared_end;
	unsigned taken; /* in the kernel */
	bool broken;
	struct piece pieces[DEPTH];
};

static struct {
	pthread_mutex_t lock;
	struct bdev_ring *idle;
	unsigned nr;   /* rings that exist: idle ones and lent ones */
	unsigned max;  /* how many may */
	int forbidden; /* the error that says that trying again is no use */
	bool fork_handled;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .max = RINGS_MAX};

static void ring_free(struct bdev_ring *r)
{
	io_uring_queue_exit(&r->uring);
	free(r);
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&pool.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&pool.lock);
}

static void fork_child(void)
{
	struct bdev_ring *r = pool.idle, *next;

	pool.idle = NULL;
	pool.max = RINGS_MAX;
	pool.nr = 0; /* lent ones belonged to threads that the child does not have */
	pthread_mutex_unlock(&pool.lock);
	for (; r; r = next) {
		next = r->next;
		ring_free(r);
	}
}

/* What piece_prepare uses. By hand, since liburing 2.3 declares the functions and does not export them. */
static int ring_restrict(struct io_uring *uring)
{
	struct io_uring_restriction ops[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
	};

	if (syscall(SYS_io_uring_register, uring->ring_fd, IORING_REGISTER_RESTRICTIONS, ops,
		    sizeof(ops) / sizeof(ops[0])) ||
	    syscall(SYS_io_uring_register, uring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0))
		return -errno;
	return 0;
}

/* Kernels before 5.10 have no restrictions: there the ring is an ordinary one. */
static int ring_setup(struct io_uring *uring, unsigned flags)
{
	struct io_uring_params params = {.flags = flags | IORING_SETUP_R_DISABLED};
	int err = io_uring_queue_init_params(DEPTH, uring, &params);

	if (err == -EINVAL) {
		params = (struct io_uring_params){.flags = flags};
		return io_uring_queue_init_params(DEPTH, uring, &params);
	}
	if (!err) {
		err = ring_restrict(uring);
		if (err)
			io_uring_queue_exit(uring);
	}
	return err;
}

static int ring_create(struct bdev_ring **out_ring)
{
	struct bdev_ring *r = eng_zalloc(sizeof(*r));
	unsigned flags = 0;
	int ret;

	*out_ring = NULL;
	if (!r)
		return -ENOMEM;
#ifdef IORING_SETUP_COOP_TASKRUN
	/* We always enter the kernel to wait: it need not interrupt us to deliver. Since
	 * Linux 5.19. */
	flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
#endif
	ret = ring_setup(&r->uring, flags);
	if (ret == -EINVAL)
		ret = ring_setup(&r->uring, 0);
	if (ret) {
		free(r);
		return ret;
	}
	r->prepared_end = &r->prepared;
	for (unsigned i = 0; i < DEPTH; i++) {
		r->pieces[i].next = r->free;
		r->free = &r->pieces[i];
	}
	*out_ring = r;
	return 0;
}

static int pool_take(struct bdev_ring **out_ring)
{
	int ret = 0;

	pthread_mutex_lock(&pool.lock);
	if (!pool.fork_handled) {
		pthread_atfork(fork_prepare, fork_parent, fork_child);
		pool.fork_handled = true;
	}
	*out_ring = pool.idle;
	if (pool.forbidden)
		ret = pool.forbidden;
	else if (pool.idle)
		pool.idle = pool.idle->next;
	else if (pool.nr >= pool.max)
		ret = -EAGAIN;
	else
		pool.nr++;
	pthread_mutex_unlock(&pool.lock);
	if (ret)
		*out_ring = NULL;
	if (ret || *out_ring)
		return ret;

	ret = ring_create(out_ring);
	if (ret) {
		pthread_mutex_lock(&pool.lock);
		pool.nr--;
		if (ret == -ENOSYS || ret == -EPERM || ret == -EACCES) {
			if (pool.nr)
				pool.max = pool.nr;
			else
				pool.forbidden = ret;
		}
		pthread_mutex_unlock(&pool.lock);
	}
	return ret;
}

int bdev_ring_probe(void)
{
	struct bdev_ring *r;
	int ret = pool_take(&r);

	if (ret == -EAGAIN)
		return 0; /* all are lent, so they work */
	if (!ret)
		bdev_ring_put(r);
	return ret;
}

struct bdev_ring *bdev_ring_get(void)
{
	struct bdev_ring *r;

	return pool_take(&r) ? NULL : r;
}

void bdev_ring_put(struct bdev_ring *r)
{
	bool broken = r->broken;

	assert(!r->prepared && !r->taken);
	pthread_mutex_lock(&pool.lock);
	if (broken) {
		pool.nr--;
	} else {
		r->next = pool.idle;
		pool.idle = r;
	}
	pthread_mutex_unlock(&pool.lock);
	if (broken)
		ring_free(r);
}

void bdev_rings_reserve(unsigned nr)
{
	struct bdev_ring *taken = NULL, *r;

	while (nr-- > 0 && !pool_take(&r)) {
		r->next = taken;
		taken = r;
	}
	for (; taken; taken = r) {
		r = taken->next;
		bdev_ring_put(taken);
	}
}

void bdev_rings_destroy(void)
{
	struct bdev_ring *r, *next;

	pthread_mutex_lock(&pool.lock);
	r = pool.idle;
	pool.idle = NULL;
	for (next = r; next; next = next->next)
		pool.nr--;
	pthread_mutex_unlock(&pool.lock);
	for (; r; r = next) {
		next = r->next;
		ring_free(r);
	}
}

/* The piece is over. Its transfer is, too, if this was the last piece and none is to come. */
static void piece_end(struct bdev_batch *b, struct piece *p, int res)
{
	struct bdev_xfer *x = p->x;

	if (res && !x->res)
		x->res = res;
	x->pieces--;
	p->next = b->ring->free;
	b->ring->free = p;
	/* One that has failed and is still in `waiting` ends in bdev_ring_fill. */
	if (!x->pieces && x->issued == x->len) {
		b->in_flight--;
		bdev_batch_finish(b, x);
	}
}

static void piece_now(struct bdev_batch *b, struct piece *p)
{
	piece_end(b, p, bdev_xfer_now(p->x, p->start, p->len));
}

static void piece_prepare(struct bdev_ring *r, struct piece *p)
{
	struct bdev_xfer *x = p->x;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	uint64_t pos = x->dev->base + x->off + p->start;
	uint8_t *buf = x->buf ? (uint8_t *)x->buf + p->start : NULL; /* a flush has none */

	assert(sqe); /* as many entries as pieces */
	if (x->op == BDEV_READ)
		io_uring_prep_read(sqe, bdev_fd_for(x->dev, pos, buf, p->len), buf, p->len, pos);
	else if (x->op == BDEV_WRITE)
		io_uring_prep_write(sqe, bdev_fd_for(x->dev, pos, buf, p->len), buf, p->len, pos);
	else
		io_uring_prep_fsync(sqe, x->dev->fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, p);
	p->next = NULL;
	*r->prepared_end = p;
	r->prepared_end = &p->next;
}

static struct piece *pop_prepared(struct bdev_ring *r)
{
	struct piece *p = r->prepared;

	r->prepared = p->next;
	if (!r->prepared)
		r->prepared_end = &r->prepared;
	return p;
}

/* What the kernel would not take is done here, and the ring is not used again. */
static void ring_break(struct bdev_batch *b, int err)
{
	struct bdev_ring *r = b->ring;

	r->broken = true;
	pthread_mutex_lock(&pool.lock);
	pool.forbidden = err;
	pthread_mutex_unlock(&pool.lock);
	while (r->prepared)
		piece_now(b, pop_prepared(r));
}

static void ring_submit(struct bdev_batch *b)
{
	struct bdev_ring *r = b->ring;

	while (r->prepared) {
		int n = io_uring_submit(&r->uring);

		if (n == 0 || n == -EAGAIN || n == -EBUSY)
			return; /* let it finish something first */
		if (n < 0 && n != -EINTR)
			ring_break(b, n);
		for (; n > 0; n--) {
			pop_prepared(r);
			r->taken++;
		}
	}
}

static void pop_waiting(struct bdev_batch *b)
{
	struct bdev_xfer *x = b->waiting;

	b->waiting = x->next;
	if (!b->waiting)
		b->waiting_end = &b->waiting;
	x->next = NULL;
}

void bdev_ring_fill(struct bdev_batch *b)
{
	struct bdev_ring *r = b->ring;

	while (b->waiting && (r->free || r->broken)) {
		struct bdev_xfer *x = b->waiting;
		uint32_t len = x->len - x->issued;
		struct piece *p = r->free;

		if (x->res || r->broken) {
			pop_waiting(b);
			if (!x->res)
				x->res = bdev_xfer_now(x, x->issued, len);
			x->issued = x->len;
			if (!x->pieces) {
				b->in_flight--;
				bdev_batch_finish(b, x);
			}
			continue;
		}
		if (len > BDEV_PIECE)
			len = BDEV_PIECE;
		r->free = p->next;
		*p = (struct piece){.x = x, .start = x->issued, .len = len};
		piece_prepare(r, p);
		x->pieces++;
		x->issued += len;
		if (x->issued == x->len)
			pop_waiting(b);
	}
	ring_submit(b);
}

static void piece_done(struct bdev_batch *b, struct piece *p, int res)
{
	if (res == -EINVAL || res == -EOPNOTSUPP) {
		piece_now(b, p);
	} else if (res == -EINTR || res == -EAGAIN || (res > 0 && (uint32_t)res < p->len)) {
		if (res > 0) {
			p->start += (uint32_t)res;
			p->len -= (uint32_t)res;
		}
		if (b->ring->broken)
			piece_now(b, p);
		else
			piece_prepare(b->ring, p);
	} else if (res == 0 && p->len) {
		piece_end(b, p, -EIO); /* the file has shrunk since it was opened */
	} else {
		piece_end(b, p, res < 0 ? res : 0);
	}
}

/* Waits until the ring has something, or for a while if it can't say. */
static void ring_wait(struct bdev_ring *r)
{
	struct timespec pause = {.tv_nsec = 100000};
	struct io_uring_cqe *cqe;
	int ret = r->taken ? io_uring_wait_cqe(&r->uring, &cqe) : -EBUSY;

	/*
	 * Either the kernel could take nothing for now, or waiting has been forbidden; then what it
	 * has taken still ends.
	 */
	if (ret && ret != -EINTR && ret != -EAGAIN)
		nanosleep(&pause, NULL);
}

void bdev_ring_collect(struct bdev_batch *b, bool block)
{
	struct bdev_ring *r = b->ring;
	unsigned before = b->in_flight;
	struct io_uring_cqe *cqe;

	ring_submit(b);
	if (block && b->in_flight == before)
		ring_wait(r);
	while (io_uring_peek_cqe(&r->uring, &cqe) == 0) {
		struct piece *p = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&r->uring, cqe);
		r->taken--;
		piece_done(b, p, res);
	}
	bdev_ring_fill(b);
}
