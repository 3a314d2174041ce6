//go:build !js

package bolt

import (
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"lamplighter/internal/store"
)

// queue lets updates that wait for the disk share one commit. bbolt's own Batch
// does so by waiting for company, which adds up to 10 ms to an update that comes
// alone; here an idle database commits at once, and the company is whoever came
// during the commit before. One of those who wait commits for all; the others
// sleep until they are done.
type queue struct {
	mu       sync.Mutex
	busy     bool // somebody commits, or was told to
	waiting  []*update
	expected int           // as many as had a part in the commit before, or came during it
	gathered chan struct{} // closed when as many wait; nil: nobody gathers them

	took time.Duration // the commit before; only who commits uses it
}

type update struct {
	fn       func(store.Tx) error
	wake     chan bool // true: it is your turn to commit; false: you are done
	done     bool
	err      error
	panicked any
}

const (
	// maxBatch bounds a commit, and with it what one failing update makes run again.
	maxBatch = 256
	// Updates that come back after a shared commit are waited for, for a part of the
	// time that a commit takes.
	gatherPart = 2
	gatherMost = 2 * time.Millisecond
)

func (q *queue) update(db *bbolt.DB, fn func(store.Tx) error) error {
	u := &update{fn: fn, wake: make(chan bool, 1)}
	q.mu.Lock()
	q.waiting = append(q.waiting, u)
	if q.gathered != nil && len(q.waiting) >= q.expected {
		close(q.gathered)
		q.gathered = nil
	}
	turn := !q.busy
	q.busy = true
	q.mu.Unlock()

	if turn || <-u.wake {
		q.lead(db)
	}
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// lead makes one commit for those who wait, the caller among them, and passes the
// turn on to the next.
func (q *queue) lead(db *bbolt.DB) {
	defer func() { // also after runtime.Goexit
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.busy = len(q.waiting) > 0; q.busy {
			q.waiting[0].wake <- true
		}
	}()
	q.gather()
	batch := q.take()
	start := time.Now()
	q.commit(db, batch)
	q.took = time.Since(start)
}

// gather waits for those who had a part in the commit before and are about to come
// back: a commit for all of them takes as long as one for half of them. Who comes
// alone waits for nobody.
func (q *queue) gather() {
	q.mu.Lock()
	if len(q.waiting) >= q.expected {
		q.mu.Unlock()
		return
	}
	gathered := make(chan struct{})
	q.gathered = gathered
	q.mu.Unlock()
	patience := time.NewTimer(min(q.took/gatherPart, gatherMost))
	defer patience.Stop()
	select {
	case <-gathered:
	case <-patience.C:
	}
	q.mu.Lock()
	q.gathered = nil
	q.mu.Unlock()
}

// expect counts who is at it, before those of the commit are told and come back.
func (q *queue) expect(committed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expected = min(committed+len(q.waiting), maxBatch)
}

func (q *queue) take() []*update {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxBatch)
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return batch
}

// commit runs the batch in one transaction. An update that fails is taken out,
// runs alone afterwards, and the others run again without it: none sees the
// writes of one that failed, and none fails for another.
func (q *queue) commit(db *bbolt.DB, batch []*update) {
	all := batch
	defer func() { // something is left only after runtime.Goexit, as by a test's FailNow in an update
		finish(slices.DeleteFunc(slices.Clone(all), func(u *update) bool { return u.done }), errAborted)
	}()
	var alone []*update
	batch = slices.Clone(batch)
	for len(batch) > 0 {
		failed := -1
		err := db.Update(func(tx *bbolt.Tx) error {
			for i, u := range batch {
				if err := u.run(tx); err != nil {
					failed = i
					return err
				}
			}
			return nil
		})
		if failed < 0 || len(batch) == 1 {
			q.expect(len(all))
			finish(batch, err)
			break
		}
		alone = append(alone, batch[failed])
		batch = slices.Delete(batch, failed, failed+1)
	}
	for _, u := range alone {
		u.panicked = nil
		finish([]*update{u}, db.Update(u.run))
	}
}

// finish wakes those who wait for their update; the one that commits hears of it
// when it returns.
func finish(batch []*update, err error) {
	for _, u := range batch {
		u.err, u.done = err, true
		u.wake <- false
	}
}

var (
	errPanic   = errors.New("update panicked")
	errAborted = errors.New("update was aborted")
)

// run runs fn; a panic is kept for the goroutine that called Update.
func (u *update) run(tx *bbolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			u.panicked, err = p, errPanic
		}
	}()
	return run(tx, u.fn)
}
