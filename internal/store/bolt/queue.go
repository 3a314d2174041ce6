//go:build !js

package bolt

import (
	"errors"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"lamplighter/internal/store"
)

// queue lets updates that wait for the writer's lock share one commit. bbolt's
// own Batch does so by waiting for company, which adds up to 10 ms to an update
// that comes alone; here an idle database commits at once, and the company is
// whoever came during the commit before.
type queue struct {
	writer  sync.Mutex // held by who commits
	mu      sync.Mutex
	waiting []*update
}

type update struct {
	fn       func(store.Tx) error
	done     bool // written under writer
	err      error
	panicked any
}

// maxBatch bounds a commit, and with it what one failing update makes run again.
const maxBatch = 256

func (q *queue) update(db *bbolt.DB, fn func(store.Tx) error) error {
	u := &update{fn: fn}
	q.mu.Lock()
	q.waiting = append(q.waiting, u)
	q.mu.Unlock()

	q.lead(db, u)
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// lead commits until u is done: not at all when another did it, and once unless
// more than maxBatch wait.
func (q *queue) lead(db *bbolt.DB, u *update) {
	q.writer.Lock()
	defer q.writer.Unlock()
	for !u.done {
		q.commit(db, q.take())
	}
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
	defer func() { // only after runtime.Goexit, as by a test's FailNow in an update
		for _, u := range all {
			if !u.done {
				u.err, u.done = errAborted, true
			}
		}
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

func finish(batch []*update, err error) {
	for _, u := range batch {
		u.err, u.done = err, true
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
