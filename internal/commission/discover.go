package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"net/netip"
	"strconv"
	"sync"

	"lamplighter/internal/coap"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// found is a device that answered a discovery.
type found struct {
	id    [8]byte
	model string
	addr  netip.AddrPort
}

// resourceType is the rt of a device's identity resource, docs/device.md.
const resourceType = "ll.id"

// maxFound is how many devices one search takes: anybody can answer.
const maxFound = 4096

// Discover multicasts GET /.well-known/core and returns how many devices
// answered. Nothing in an answer is proven: it says where to look, no more.
func (e *Engine) Discover(ctx context.Context) (int, error) {
	s, err := e.site()
	if err != nil {
		return 0, err
	}
	all, err := s.search(ctx, "", nil)
	if err != nil {
		return 0, asProblem(err)
	}
	if err := s.noteFound(ctx, all); err != nil {
		return 0, asProblem(err)
	}
	e.info("", plural(len(all), "device", "devices")+" found")
	e.pub.flush()
	return len(all), nil
}

// search multicasts for devices; id in hex narrows it to one. It ends early when
// enough says so.
func (s *site) search(ctx context.Context, id string, enough func(found) bool) (map[[8]byte]found, error) {
	group, err := netip.ParseAddrPort(s.record().Multicast)
	if err != nil {
		return nil, errInvitation
	}
	path := "/.well-known/core?rt=" + resourceType
	if id != "" {
		path = "/.well-known/core?ep=" + id
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	all := map[[8]byte]found{}
	err = s.e.wire.Multicast(ctx, group, coap.NewRequest(coap.GET, path, nil), s.e.cfg.Tuning.Discovery, func(resp *coap.Message, from netip.AddrPort) {
		f, ok := parseFound(resp, from)
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if _, known := all[f.id]; !known && len(all) >= maxFound {
			return
		}
		all[f.id] = f
		s.seen(f)
		if enough != nil && enough(f) {
			cancel()
		}
	})
	mu.Lock()
	defer mu.Unlock()
	return all, err
}

// parseFound reads an answer in link format.
func parseFound(resp *coap.Message, from netip.AddrPort) (found, bool) {
	if coap.CheckResponse(resp) != nil {
		return found{}, false
	}
	links, err := coap.ParseLinks(resp.Payload)
	if err != nil {
		return found{}, false
	}
	for _, l := range links {
		ep, _ := l.Get("ep")
		id, err := label.ParseID(ep)
		if err != nil {
			continue
		}
		model, _ := l.Get("et")
		return found{id, model, from}, true
	}
	return found{}, false
}

// apply puts what a discovery said into a record. A device that is claimed keeps
// its model; its address is only where to look for it.
func (f found) apply(r *deviceRecord, now int64) {
	r.Found, r.LastSeen, r.Address = true, now, f.addr.String()
	r.Model = cmp.Or(r.Model, f.model)
}

// seen shows a device at once; noteFound makes it last.
func (s *site) seen(f found) {
	s.mu.Lock()
	id := hex.EncodeToString(f.id[:])
	d := s.devices[id]
	if d == nil {
		d = newDevice(&deviceRecord{ID: bytes.Clone(f.id[:])})
		s.devices[id] = d
	}
	next := *d.rec
	f.apply(&next, s.e.now())
	d.rec = &next
	s.mu.Unlock()
	s.touchDevice(d)
}

// noteFound saves all that was found in one go.
func (s *site) noteFound(ctx context.Context, all map[[8]byte]found) error {
	return s.db.Update(ctx, func(tx store.Tx) error {
		for id := range all {
			d, err := s.device(hex.EncodeToString(id[:]))
			if err != nil {
				continue // forgotten meanwhile
			}
			if err := apply(tx, []write{{preDevice + d.id, s.of(d)}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// locate finds a device's address by a search for it alone.
func (s *site) locate(ctx context.Context, d *device) error {
	all, err := s.search(ctx, d.id, func(f found) bool { return hex.EncodeToString(f.id[:]) == d.id })
	if err != nil {
		return err
	}
	if _, ok := all[[8]byte(s.of(d).ID)]; !ok {
		return errNotFound
	}
	return s.noteFound(ctx, all)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
