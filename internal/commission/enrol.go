package commission

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// AcceptInvitation takes what stands behind # in an invitation link: it signs in
// at the bridge, makes the site credential, and enrols it at the Authorization
// Server. The same invitation again only signs in, another one to the same person
// brings new rights. An invitation to another site opens that one; what this browser
// manages besides is kept.
func (e *Engine) AcceptInvitation(ctx context.Context, fragment string) (Site, error) {
	inv, err := ParseInvitation(fragment)
	if err != nil {
		return Site{}, err
	}
	name := siteName(inv.ASCred)
	rec, err := e.enrolledAt(ctx, name)
	if err != nil {
		return Site{}, err
	}
	if rec != nil {
		err = e.acceptAgain(ctx, inv, name, rec)
	} else {
		err = e.acceptFirst(ctx, inv, name)
	}
	if err != nil {
		return Site{}, err
	}
	s := e.current()
	if err := s.refreshGroups(ctx); err != nil {
		e.logProblem("", "asking which groups there are", err)
	} else {
		s.background(s.findRights)
	}
	e.pub.tellAll(e.snapshotEvent)
	return s.shown(), nil
}

// acceptFirst takes an invitation to a site where this browser is not enrolled.
func (e *Engine) acceptFirst(ctx context.Context, inv Invitation, name string) error {
	if err := e.signIn(ctx, inv.AccessCode); err != nil {
		return err
	}
	before := e.current()
	if err := e.found(ctx, name, inv); err != nil {
		return err
	}
	if err := e.enter(ctx, name); err != nil {
		return err
	}
	if err := e.current().welcome(ctx, inv); err != nil {
		e.comeBack(ctx, before, name)
		return err
	}
	return nil
}

// comeBack makes the site from before the current one again, if there was one: an
// invitation to another that is of no use takes nothing away.
func (e *Engine) comeBack(ctx context.Context, before *site, from string) {
	if before == nil || before.name == from || !before.record().enrolled() {
		return
	}
	err := e.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(keyCurrent, []byte(before.name)) })
	if err == nil {
		err = e.enter(ctx, before.name)
	}
	if err != nil {
		e.logProblem("", "going back to the site from before", err)
	}
	e.pub.tellAll(e.snapshotEvent)
}

// siteName names the keys of a site in the store: a site is what one
// Authorization Server rules.
func siteName(asCred []byte) string {
	sum := cose.Thumbprint(asCred)
	return hex.EncodeToString(sum[:8])
}

func (e *Engine) signIn(ctx context.Context, code string) error {
	if e.cfg.SignIn == nil || code == "" {
		return nil
	}
	err := e.cfg.SignIn(ctx, code)
	switch {
	case err == nil:
		e.mu.Lock()
		e.revoked = false
		e.mu.Unlock()
		return nil
	case errors.Is(err, coap.ErrRevoked):
		return errRevoked.because(err)
	case errors.Is(err, coap.ErrLink):
		return errLink.because(err)
	}
	return errSignIn.because(err)
}

// SignInAgain signs in at the bridge with the access code of the current site: for
// a driver whose session has ended, or was ended: then the error is told and
// [Link] says so.
func (e *Engine) SignInAgain(ctx context.Context) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	err = e.signIn(ctx, string(s.record().Code))
	if errors.Is(err, errRevoked) {
		e.mu.Lock()
		e.revoked = true // and so says the link from now on
		e.mu.Unlock()
	}
	return err
}

// found makes the site of an invitation, unless it is there, and makes it the
// current one. The site credential is durable before anybody hears of it.
func (e *Engine) found(ctx context.Context, name string, inv Invitation) error {
	rec, err := newSite(e.cfg.Rand, inv)
	if err != nil {
		return err
	}
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		key := "site/" + name + "/" + keySite
		if old, err := tx.Get(key); err != nil || old != nil {
			return errors.Join(err, tx.Put(keyCurrent, []byte(name)))
		}
		return errors.Join(
			apply(tx, []write{{key, rec}}),
			tx.Put(keyCurrent, []byte(name)))
	})
	if err != nil {
		return errStorage.because(err)
	}
	return nil
}

func newSite(rand io.Reader, inv Invitation) (*siteRecord, error) {
	random := make([]byte, ed25519.SeedSize+4)
	if _, err := io.ReadFull(rand, random); err != nil {
		return nil, err
	}
	seed, tag := random[:ed25519.SeedSize], random[ed25519.SeedSize:]
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	rec := &siteRecord{Seed: seed, Cred: cose.NewCCS("site-"+hex.EncodeToString(tag), public)}
	rec.invite(inv)
	return rec, nil
}

// invite takes over what an invitation says.
func (r *siteRecord) invite(inv Invitation) {
	r.locate(inv)
	r.Installer, r.Code = inv.Installer, cose.Secret(inv.AccessCode)
	if !r.enrolled() {
		r.Invitation, r.Secret = inv.ID, inv.Secret
	}
}

// locate takes over where everything is.
func (r *siteRecord) locate(inv Invitation) {
	r.Name = inv.Site
	r.ASAddress, r.ASCred = inv.ASAddress, inv.ASCred
	r.GMAddress, r.GMCred = inv.GMAddress, inv.GMCred
	r.Multicast = inv.Multicast
}

// welcome brings the addresses up to date and enrols if that is still to do.
func (s *site) welcome(ctx context.Context, inv Invitation) error {
	if err := s.update(ctx, func(r *siteRecord) { r.invite(inv) }); err != nil {
		return asProblem(err)
	}
	return s.enrol(ctx)
}

// enrolment is the payload of POST /enroll, enrolled its answer.
type (
	enrolment struct {
		Cred []byte `cbor:"1,keyasint"` // the site credential
		Name string `cbor:"2,keyasint"` // the installer's
	}
	enrolled struct {
		Cred []byte `cbor:"1,keyasint"` // the Authorization Server's credential
	}
)

// enrol trades the invitation's secret for an installer key that is derived from
// both credentials. It may be repeated until the key was used once.
func (s *site) enrol(ctx context.Context) error {
	s.enrolling.Lock()
	defer s.enrolling.Unlock()
	r := s.record()
	if r.enrolled() {
		return nil
	}
	as, err := cose.ParseCCS(r.ASCred)
	if err != nil {
		return errInvitation.because(err)
	}
	if err := s.postEnrolment(ctx, r); err != nil {
		return err
	}
	key, err := cose.DerivedKey(r.Secret, s.key(), as.Public, r.Cred, r.ASCred)
	if err != nil {
		return errWrongAS.because(err)
	}
	err = s.update(ctx, func(r *siteRecord) {
		r.InstallerKey, r.Invitation, r.Secret = key, nil, nil
	})
	if err != nil {
		return asProblem(err)
	}
	s.e.info("", "enrolled at the Authorization Server")
	return nil
}

func (s *site) postEnrolment(ctx context.Context, r *siteRecord) error {
	addr, err := netip.ParseAddrPort(r.ASAddress)
	if err != nil {
		return errInvitation
	}
	psk := oscore.NewPSK(r.Invitation, r.Secret, oscore.SaltInvitation)
	session := oscore.NewPSKClient(psk, s.e.wire, addr, s.e.cfg.Rand)
	var answer enrolled
	err = call(ctx, session, coap.POST, "/enroll", enrolment{r.Cred, r.Installer}, &answer)
	var re *coap.ResponseError
	switch {
	case err == nil && string(answer.Cred) != string(r.ASCred):
		return errWrongAS
	case unknownContext(err), errors.As(err, &re) && coap.Class(re.Code) == 4:
		return errUsed.because(err)
	case err != nil:
		return asProblem(with(atAS, "enrolling", err))
	}
	return nil
}

// formatCBOR is the Content-Format application/cbor.
const formatCBOR = 60

// call makes a request with a CBOR payload and reads the CBOR answer. body and
// answer may be nil.
func call(ctx context.Context, to coap.Caller, method coap.Code, path string, body, answer any) error {
	req := coap.NewRequest(method, path, nil)
	if body != nil {
		payload, err := cbor.Marshal(body)
		if err != nil {
			return err
		}
		req.Payload = payload
		coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	}
	resp, err := to.Call(ctx, req)
	if err != nil {
		return err
	}
	if err := coap.CheckResponse(resp); err != nil || answer == nil {
		return err
	}
	return cbor.Unmarshal(resp.Payload, answer)
}

// humanTitle makes a title of a group's name: "hall-ceiling" is "Hall ceiling".
func humanTitle(name string) string {
	text := strings.NewReplacer("-", " ", "_", " ").Replace(name)
	return strings.ToUpper(text[:1]) + text[1:]
}
