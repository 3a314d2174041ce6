package rollout

import (
	"context"
	"time"
)

type bucket struct{}

func (s *Sender) abort(ctx context.Context) error { return ErrAborted }
func (s *Sender) retry()                          {}
func (s *Sender) ready() {
	s.ctl.wake = make(chan struct{}, 1)
	s.byID = map[string]int{}
	for i, d := range s.st.Devices {
		s.byID[d.ID] = i
	}
}
func (s *Sender) reconcile(devices []Device) {}
func (s *Sender) spread(n int) time.Duration { return 0 }
func (s *Sender) taking() int                { return 0 }
