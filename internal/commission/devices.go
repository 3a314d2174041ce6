package commission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/store"
)

// device is a device at run time. What survives is its record.
type device struct {
	id   string
	turn chan struct{} // holds one element: who has it works on the device

	// Guarded by site.mu.
	rec     *deviceRecord // never changed, only replaced
	working bool
	step    string

	sessions deviceSessions // guarded by turn
}

func newDevice(rec *deviceRecord) *device {
	d := &device{id: rec.id(), rec: rec, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// device finds a device.
func (s *site) device(id string) (*device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[strings.ToLower(id)]; d != nil {
		return d, nil
	}
	return nil, errNoDevice
}

// chosen finds devices, each once.
func (s *site) chosen(ids []string) ([]*device, error) {
	var list []*device
	for _, id := range ids {
		d, err := s.device(id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		return nil, errNothing
	}
	return list, nil
}

// of returns the present record of a device.
func (s *site) of(d *device) *deviceRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.rec
}

// updateDevice changes a device's record, together with more; it is durable when
// updateDevice returns. When it fails, the record is what is stored.
func (s *site) updateDevice(ctx context.Context, d *device, change func(*deviceRecord), more ...write) error {
	s.mu.Lock()
	next := *d.rec
	change(&next)
	d.rec = &next
	s.mu.Unlock()
	err := s.db.Update(ctx, func(tx store.Tx) error {
		// What is encoded is the state of now: concurrent changes are not undone.
		return apply(tx, append(more, write{preDevice + d.id, s.of(d)}))
	})
	if err != nil {
		err = s.reload(d, err)
	}
	s.touchDevice(d)
	return err
}

// reload takes a device's record from the store after a failed write.
func (s *site) reload(d *device, cause error) error {
	cause = fmt.Errorf("%w: %w", errStore, cause)
	var stored *deviceRecord
	err := s.db.View(context.WithoutCancel(s.ctx), func(tx store.Tx) (err error) {
		stored, err = get[deviceRecord](tx, preDevice+d.id)
		return err
	})
	if err == nil && stored != nil {
		s.mu.Lock()
		d.rec = stored
		s.mu.Unlock()
	}
	return cause
}
