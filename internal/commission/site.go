package commission

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// site is one site with all that is known and under way in it.
type site struct {
	e    *Engine
	name string // of its keys in the store
	db   store.Store

	ctx  context.Context // ends when the site is left
	stop context.CancelFunc
	work sync.WaitGroup // jobs and background tasks: see begin

	beginning sync.Mutex // held while a task is added to work, and while ctx is ended

	as asSession
	gm gmSession

	enrolling sync.Mutex // held while the browser enrols
	updating  sync.Mutex // held while rec is replaced

	mu      sync.Mutex
	rec     *siteRecord // never changed, only replaced
	devices map[string]*device
	groups  map[string]*group
	jobs    map[string]*job

	scope         ace.Scope         // of the own token
	managesPeople bool              // the Authorization Server said so
	names         map[string]string // of people, by the ids that the servers use

	images   map[string]*imageRecord // of firmware, by digest; a record is never changed, only replaced
	trusted  []trustAnchor           // never changed, only replaced
	rollouts map[string]*fwRollout   // by job

	settingsLock sync.Mutex // held while records of settings are replaced; taken before mu

	schemas  map[string]*schema         // of settings, by digest
	settings map[string]*settingsRecord // by device
	changes  map[string]*cfgChange      // by job
}

// errStore wraps what the store failed with.
var errStore = errors.New("saving the state")

// siteStore is the view of the store that a site has.
func siteStore(root store.Store, name string) store.Store {
	return store.Prefix(root, "site/"+name+"/")
}

func loadSite(ctx context.Context, e *Engine, name string) (*site, error) {
	s := &site{
		e: e, name: name, db: siteStore(e.cfg.Store, name),
		devices: map[string]*device{}, groups: map[string]*group{}, jobs: map[string]*job{},
		images: map[string]*imageRecord{}, rollouts: map[string]*fwRollout{},
		schemas: map[string]*schema{}, settings: map[string]*settingsRecord{}, changes: map[string]*cfgChange{},
	}
	err := s.db.View(ctx, func(tx store.Tx) (err error) {
		if s.rec, err = get[siteRecord](tx, keySite); err != nil {
			return err
		}
		if s.rec == nil {
			return fmt.Errorf("%w: %s", errStored, keySite)
		}
		return errors.Join(
			scan(tx, preDevice, func(id string, r *deviceRecord) { s.devices[id] = newDevice(r) }),
			scan(tx, preGroup, func(name string, r *groupRecord) { s.group(name).rec = r }),
			scan(tx, preMember, func(name string, r *memberRecord) { s.group(name).member = r.Membership }),
			s.loadJobs(tx), s.loadFirmware(tx), s.loadRollouts(tx), s.loadSettings(tx))
	})
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(e.life)
	s.as.s, s.gm.s = s, s
	for _, server := range []string{s.rec.ASAddress, s.rec.GMAddress} {
		if addr, err := netip.ParseAddrPort(server); err == nil {
			e.wire.server(addr)
		}
	}
	return s, nil
}

// resume goes on with what was under way.
func (s *site) resume() {
	s.background(func(ctx context.Context) {
		if err := s.enrol(ctx); err != nil {
			return // told; the next call tries again
		}
		if err := s.refreshGroups(ctx); err != nil {
			s.e.logProblem("", "asking which groups there are", err)
			return
		}
		s.findRights(ctx)
		for _, g := range s.memberships() {
			s.watch(g)
		}
	})
	s.resumeJobs()
	s.resumeAlarms()
	s.background(s.chase)
	s.background(s.tidyImages)
}

// leave stops all work of the site and waits for it. Calls that are still on
// their way, such as a roll call, send nothing more to a group: whoever loads the
// site next goes on with its sequence numbers. DESIGN S1.
func (s *site) leave() {
	s.beginning.Lock()
	s.stop()
	s.beginning.Unlock()
	s.work.Wait()
	s.mu.Lock()
	groups := slices.Collect(maps.Values(s.groups))
	s.mu.Unlock()
	for _, g := range groups {
		g.retire()
	}
}

// begin runs a task that leave waits for; false when the site was left.
func (s *site) begin(task func()) bool {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.work.Go(task)
	return true
}

// background runs a task that ends with the site.
func (s *site) background(task func(ctx context.Context)) {
	s.begin(func() { task(s.ctx) })
}

func (s *site) record() *siteRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec
}

// key is the private key of the site credential.
func (s *site) key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(s.record().Seed)
}

// update changes the site's record, durably before it counts.
func (s *site) update(ctx context.Context, change func(*siteRecord), more ...write) error {
	s.updating.Lock()
	defer s.updating.Unlock()
	next := *s.record()
	change(&next)
	if err := s.commit(ctx, append(more, write{keySite, &next})...); err != nil {
		return err
	}
	s.mu.Lock()
	s.rec = &next
	s.mu.Unlock()
	s.touchSite()
	return nil
}

func (s *site) touchSite() {
	s.e.pub.touch("site", func() (Event, bool) {
		view := s.shown()
		return Event{Type: "site", Site: &view}, true
	})
}

func (r *siteRecord) view() Site {
	if !r.enrolled() {
		return Site{Commissioners: []Commissioner{}}
	}
	return Site{Name: r.Name, Credential: r.id(), BackedUp: r.BackedUp, Installer: r.Installer, Commissioners: r.commissionersView()}
}

// view is the site as it is drawn; s.mu is held.
func (s *site) view() Site {
	v := s.rec.view()
	if v.Name != "" {
		v.Rights = s.rights()
	}
	return v
}

// shown is [site.view] for who does not hold s.mu.
func (s *site) shown() Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view()
}

// commit makes writes durable, all or none.
func (s *site) commit(ctx context.Context, writes ...write) error {
	err := s.db.Update(ctx, func(tx store.Tx) error { return apply(tx, writes) })
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}
