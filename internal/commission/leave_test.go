package commission

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTasksWhileLeaving: a task that begins just as a site is left is waited for, or
// never runs.
func TestTasksWhileLeaving(t *testing.T) {
	for range 2000 {
		s := &site{}
		s.ctx, s.stop = context.WithCancel(t.Context())
		var left atomic.Bool
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				s.background(func(context.Context) {
					if left.Load() {
						t.Error("a task ran after the site was left")
					}
				})
			})
		}
		s.leave()
		left.Store(true)
		callers.Wait()
		if s.begin(func() {}) {
			t.Fatal("a task began after the site was left")
		}
	}
}
