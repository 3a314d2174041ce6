package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Who may manage a device stands on a list that the device has (docs/device.md).
// The site keeps the list that all its devices shall have, with a revision; a device
// is pending until it has confirmed that.

// Rights on a device's list.
const (
	rightManage = 1
	allRights   = 3
)

// commissionerEntry is somebody on the site's list.
type commissionerEntry struct {
	Cred   []byte `cbor:"1,keyasint"`
	Rights uint   `cbor:"2,keyasint"`
	Name   string `cbor:"3,keyasint,omitempty"`
}

// The payload of /ll/commissioners.
type (
	listPayload struct {
		Version uint64     `cbor:"1,keyasint"`
		List    []listItem `cbor:"2,keyasint"`
	}
	listItem struct {
		Cred   []byte `cbor:"1,keyasint"`
		Rights uint   `cbor:"2,keyasint"`
	}
)

// UpdateCommissioners takes the people of the Authorization Server (administrators
// and installers, without those who were revoked or whose access has ended) for the
// list of who may manage this site's devices, and brings it to all of them. Only an
// administrator is told who they are.
func (e *Engine) UpdateCommissioners(ctx context.Context) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	people, err := s.people(ctx)
	if err != nil {
		return Job{}, asProblem(err)
	}
	own := s.record()
	list := []commissionerEntry{{Cred: own.Cred, Rights: allRights, Name: own.Installer}}
	for _, p := range people {
		if p.mayManage(s.e.cfg.Now()) && !bytes.Equal(p.Cred, own.Cred) {
			list = append(list, commissionerEntry{p.Cred, rightsOf[p.Role], p.Name})
		}
	}
	slices.SortFunc(list[1:], func(a, b commissionerEntry) int { return bytes.Compare(a.Cred, b.Cred) })
	if len(list) > maxCommissioners {
		return Job{}, errTooMany
	}
	if err := s.setList(ctx, list); err != nil {
		return Job{}, asProblem(err)
	}
	pending := s.pendingDevices()
	if len(pending) == 0 {
		return Job{}, errNothingPending
	}
	return s.start(ctx, jobCommissioners, "", pending)
}

// dropGone takes people off the list who were revoked elsewhere, by command for
// example, or whose access has ended, and has the devices told. Nobody is added.
func (s *site) dropGone(ctx context.Context, people []personRecord) error {
	own := s.record()
	list, now := own.Commissioners, s.e.cfg.Now()
	if own.ListRev == 0 { // devices have what their claims gave them
		list = []commissionerEntry{{Cred: own.Cred, Rights: allRights, Name: own.Installer}}
		for _, p := range people {
			if p.Role == string(RoleAdmin) && len(p.Cred) > 0 && !bytes.Equal(p.Cred, own.Cred) {
				list = append(list, commissionerEntry{p.Cred, allRights, p.Name})
			}
		}
	}
	gone := func(c commissionerEntry) bool {
		i := slices.IndexFunc(people, func(p personRecord) bool { return bytes.Equal(p.Cred, c.Cred) })
		return i >= 0 && !bytes.Equal(c.Cred, own.Cred) && !people[i].mayManage(now)
	}
	if !slices.ContainsFunc(list, gone) {
		return nil
	}
	if err := s.setList(ctx, list); err != nil {
		return err
	}
	if err := s.setList(ctx, slices.DeleteFunc(slices.Clone(list), gone)); err != nil {
		return err
	}
	pending := s.pendingDevices()
	if len(pending) == 0 {
		return nil
	}
	s.e.info("", "somebody whose access ended is taken off the devices' lists")
	_, err := s.start(ctx, jobCommissioners, "", pending)
	return err
}

// rightsOf are the rights of people at the devices, by their roles.
var rightsOf = map[string]uint{"admin": allRights, "installer": rightManage}

// mayManage reports whether somebody shall manage devices.
func (p *personRecord) mayManage(now time.Time) bool {
	over := p.Expires != 0 && uint64(now.Unix()) >= p.Expires
	return rightsOf[p.Role] != 0 && !p.Pending && !p.Revoked && !over && len(p.Cred) > 0
}

// listed reports whether the site's list has who is to be on it.
func (s *site) listed(p personRecord) bool {
	if !p.mayManage(s.e.cfg.Now()) || bytes.Equal(p.Cred, s.record().Cred) {
		return true
	}
	return slices.ContainsFunc(s.record().Commissioners, func(c commissionerEntry) bool {
		return bytes.Equal(c.Cred, p.Cred) && c.Rights == rightsOf[p.Role]
	})
}

// maxCommissioners is how many a device lists.
const maxCommissioners = 16

// firstCommissioners are the credentials for the list that a claim gives: this
// browser's and the administrators', so that somebody can manage the device when
// whoever claimed it is revoked. An Authorization Server that does not say leaves the
// browser alone.
func (s *site) firstCommissioners(ctx context.Context) ([][]byte, error) {
	creds := [][]byte{s.record().Cred}
	var admins []personRecord
	err := call(ctx, &s.as, coap.GET, "/administrators", nil, &admins)
	if _, refused := errors.AsType[*coap.ResponseError](err); refused {
		return creds, nil
	}
	if err != nil {
		return nil, with(atAS, "asking who administers the site", err)
	}
	for _, p := range admins {
		known := slices.ContainsFunc(creds, func(c []byte) bool { return bytes.Equal(c, p.Cred) })
		if len(p.Cred) > 0 && !known && len(creds) < maxCommissioners {
			creds = append(creds, p.Cred)
		}
	}
	return creds, nil
}

// setList makes a list the site's, durably. The same one changes nothing.
func (s *site) setList(ctx context.Context, list []commissionerEntry) error {
	same := slices.EqualFunc(s.record().Commissioners, list, func(a, b commissionerEntry) bool {
		return bytes.Equal(a.Cred, b.Cred) && a.Rights == b.Rights && a.Name == b.Name
	})
	if same {
		return nil
	}
	err := s.update(ctx, func(r *siteRecord) {
		r.Removed = removed(r.Removed, r.Commissioners, list)
		r.Commissioners, r.ListRev = list, r.ListRev+1
	})
	s.mu.Lock()
	var devices []*device
	for _, d := range s.devices {
		devices = append(devices, d)
	}
	s.mu.Unlock()
	for _, d := range devices {
		s.touchDevice(d)
	}
	return err
}

// removed are the credentials that were on a list once and are on the new one no
// more.
func removed(before [][]byte, old, next []commissionerEntry) (gone [][]byte) {
	was := slices.Clone(before)
	for _, c := range old {
		was = append(was, c.Cred)
	}
	for _, cred := range was {
		listed := slices.ContainsFunc(next, func(c commissionerEntry) bool { return bytes.Equal(c.Cred, cred) })
		known := slices.ContainsFunc(gone, func(g []byte) bool { return bytes.Equal(g, cred) })
		if !listed && !known {
			gone = append(gone, cred)
		}
	}
	return gone
}

// holding lists the devices that may still have a credential on their list.
func (s *site) holding(cred []byte) []string {
	if len(cred) == 0 || !slices.ContainsFunc(s.record().Removed, func(c []byte) bool { return bytes.Equal(c, cred) }) {
		return []string{}
	}
	return append([]string{}, s.pendingDevices()...)
}

// listPending reports whether a device of the site has not confirmed the list: one
// that this browser owns, or manages for somebody else who perhaps does not any more.
func (s *siteRecord) listPending(r *deviceRecord) bool {
	return (r.claimed() || r.managed()) && r.ListRev < s.ListRev
}

// managed reports whether this browser has managed the device without owning it.
func (r *deviceRecord) managed() bool { return !r.claimed() && r.labelKnown() && len(r.Cred) > 0 }

// pendingDevices lists the devices that have another list than they shall have.
func (s *site) pendingDevices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, d := range s.devices {
		if s.rec.listPending(d.rec) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// commissionersView is the list as it is drawn.
func (r *siteRecord) commissionersView() []Commissioner {
	list := []Commissioner{}
	for _, c := range r.Commissioners {
		sum := cose.Thumbprint(c.Cred)
		list = append(list, Commissioner{
			Name: cmp.Or(c.Name, "somebody"), Credential: hex.EncodeToString(sum[:8]), Admin: c.Rights == allRights,
		})
	}
	return list
}
