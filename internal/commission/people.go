package commission

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Problems of people.
var (
	errNotAdmin   = problem("not-admin", "Only an administrator of the site may do this.", "Ask an administrator.")
	errPersonRole = problem("bad-role", "There is no such role.", "Choose admin, installer, maintainer or viewer.")
	errPersonName = problem("bad-name", "This cannot be a name.", "Take 1 to 64 characters.")
	errNoPerson   = problem("unknown-person", "There is nobody with this id.", "Reload the list of people.")
	errYourself   = problem("revoke-yourself", "You cannot revoke yourself here: nobody might be left to let you in again.", "Ask another administrator.")
)

// personRecord is a person as the Authorization Server tells it: docs/servers.md,
// GET /people.
type personRecord struct {
	ID      string `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Role    string `cbor:"3,keyasint"`
	Since   uint64 `cbor:"4,keyasint"`           // seconds since 1970
	Expires uint64 `cbor:"5,keyasint,omitempty"` // seconds since 1970
	Pending bool   `cbor:"6,keyasint,omitempty"`
	Revoked bool   `cbor:"7,keyasint,omitempty"`
	Cred    []byte `cbor:"8,keyasint,omitempty"`
}

// inviteRequest and inviteAnswer are the payloads of POST /people/invite.
type (
	inviteRequest struct {
		Name    string   `cbor:"1,keyasint"`
		Role    string   `cbor:"2,keyasint"`
		Expires uint64   `cbor:"3,keyasint,omitempty"` // seconds from now
		Groups  []string `cbor:"4,keyasint,omitempty"`
	}
	inviteAnswer struct {
		ID      string      `cbor:"1,keyasint"`
		Secret  cose.Secret `cbor:"2,keyasint"`
		Expires uint64      `cbor:"3,keyasint"` // seconds since 1970
		Code    string      `cbor:"4,keyasint,omitempty"`
	}
)

// People lists who has access to the site, who was invited and who was revoked, by
// name.
func (e *Engine) People(ctx context.Context) ([]Person, error) {
	s, err := e.site()
	if err != nil {
		return nil, err
	}
	records, err := s.people(ctx)
	if err != nil {
		return nil, asProblem(err)
	}
	if err := s.dropGone(ctx, records); err != nil {
		e.logProblem("", "taking people off the devices' lists", err)
	}
	list := []Person{}
	for _, r := range records {
		list = append(list, s.person(r))
	}
	slices.SortFunc(list, func(a, b Person) int {
		return strings.Compare(strings.ToLower(a.Name)+a.ID, strings.ToLower(b.Name)+b.ID)
	})
	return list, nil
}

func (s *site) people(ctx context.Context) ([]personRecord, error) {
	var records []personRecord
	err := atPeople("asking who has access", call(ctx, &s.as, coap.GET, "/people", nil, &records))
	if err == nil || errors.Is(err, errNotAdmin) {
		s.refreshNames(records, err == nil)
	}
	return records, err
}

// atPeople says in which way the Authorization Server refused something about
// people.
func atPeople(doing string, err error) error {
	if re, ok := errors.AsType[*coap.ResponseError](err); ok && re.Code == coap.Forbidden {
		return errNotAdmin.because(err)
	}
	return with(atAS, doing, err)
}

func (s *site) person(r personRecord) Person {
	return Person{
		ID: r.ID, Name: r.Name, Role: PersonRole(r.Role), Since: int64(r.Since) * 1000, Expires: int64(r.Expires) * 1000,
		Pending: r.Pending, Revoked: r.Revoked, You: len(r.Cred) > 0 && string(r.Cred) == string(s.record().Cred), Listed: s.listed(r), Left: s.holding(r.Cred),
	}
}

// Invite makes an invitation; its link works once and until it expires. days is
// for how long, 0 for the Authorization Server's choice.
func (e *Engine) Invite(ctx context.Context, name string, role PersonRole, days int) (NewInvitation, error) {
	s, err := e.site()
	if err != nil {
		return NewInvitation{}, err
	}
	name = strings.TrimSpace(name)
	switch {
	case name == "" || len(name) > 64:
		return NewInvitation{}, errPersonName
	case !slices.Contains([]PersonRole{RoleAdmin, RoleInstaller, RoleMaintainer, RoleViewer}, role):
		return NewInvitation{}, errPersonRole
	case days < 0 || days > 365:
		return NewInvitation{}, errArgument
	}
	ask := inviteRequest{Name: name, Role: string(role), Expires: uint64(days) * 24 * 3600}
	var answer inviteAnswer
	if err := atPeople("inviting "+name, call(ctx, &s.as, coap.POST, "/people/invite", ask, &answer)); err != nil {
		return NewInvitation{}, asProblem(err)
	}
	r := s.record()
	link := Invitation{
		AccessCode: answer.Code, ID: []byte(answer.ID), Secret: answer.Secret,
		ASAddress: r.ASAddress, ASCred: r.ASCred, GMAddress: r.GMAddress, GMCred: r.GMCred,
		Multicast: r.Multicast, Site: r.Name, Installer: name,
	}
	e.info("", "invited "+name+" as "+string(role))
	return NewInvitation{Fragment: link.Encode(), Name: name, Expires: int64(answer.Expires) * 1000}, nil
}

// Revoke ends a person's access: tokens, sessions, the bridge. A job takes the person
// off the lists that devices have of who may manage them.
func (e *Engine) Revoke(ctx context.Context, id string) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	records, err := s.people(ctx)
	if err != nil {
		return asProblem(err)
	}
	i := slices.IndexFunc(records, func(r personRecord) bool { return r.ID == id })
	switch {
	case i < 0 || !pathSegment(id):
		return errNoPerson
	case s.person(records[i]).You:
		return errYourself
	}
	if err := atPeople("revoking "+records[i].Name, call(ctx, &s.as, coap.DELETE, "/people/"+id, nil, nil)); err != nil {
		return asProblem(err)
	}
	e.info("", "revoked the access of "+records[i].Name)
	if _, err := e.UpdateCommissioners(ctx); err != nil && !errors.Is(err, errNothingPending) {
		e.logProblem("", "taking "+records[i].Name+" off the devices' lists", err) // they stay pending
	}
	return nil
}

// pathSegment reports whether an id from elsewhere can stand in a path.
func pathSegment(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) > 0 && len(b) <= 32
}

// personName is how a person is called whose id the servers use; s.mu is held.
func (s *site) personName(id string) string {
	own := cose.Thumbprint(s.rec.Cred)
	if hex.EncodeToString(own[:16]) == id {
		return s.rec.Installer
	}
	if name := s.names[id]; name != "" {
		return name
	}
	return id[:min(len(id), 16)]
}

// refreshNames keeps in mind how people are called, and whether the person at this
// browser manages them.
func (s *site) refreshNames(records []personRecord, manages bool) {
	names := map[string]string{}
	for _, r := range records {
		names[r.ID] = r.Name
	}
	s.mu.Lock()
	changed := s.managesPeople != manages
	s.managesPeople, s.names = manages, names
	s.mu.Unlock()
	if changed {
		s.touchSite()
	}
}
