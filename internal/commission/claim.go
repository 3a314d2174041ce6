package commission

import (
	"context"
	"errors"
	"net/netip"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// The payloads of a claim, docs/device.md.
type (
	claimRequest struct {
		SiteCred      []byte   `cbor:"1,keyasint"`
		Name          string   `cbor:"2,keyasint"` // the device's
		Site          string   `cbor:"3,keyasint"` // site id
		AS            server   `cbor:"4,keyasint"`
		GM            server   `cbor:"5,keyasint"`
		Commissioners [][]byte `cbor:"6,keyasint"` // credentials
	}
	server struct {
		Address string `cbor:"1,keyasint"`
		Cred    []byte `cbor:"2,keyasint"`
	}
	claimAnswer struct {
		Cred []byte `cbor:"1,keyasint"` // the device's credential
	}
	deviceIdentity struct {
		ID      []byte `cbor:"1,keyasint"`
		Model   string `cbor:"2,keyasint"`
		Claimed uint   `cbor:"5,keyasint"` // 0 or 1
		Cred    []byte `cbor:"7,keyasint"` // when it was asked for
	}
	registration struct {
		Thumbprint []byte `cbor:"1,keyasint"`
		Model      string `cbor:"2,keyasint"`
	}
)

// claim makes the device this site's: it exchanges credentials in a session on
// the label secret, keeps the owner key that follows from them, and registers the
// device at the Authorization Server. Each part is skipped when it is done.
func (t *task) claim(ctx context.Context) error {
	r := t.rec()
	if !r.labelKnown() {
		return errNoLabel
	}
	if err := t.ensureAddress(ctx); err != nil {
		return err
	}
	if reclaim := t.it.reclaim; reclaim || !r.claimed() {
		t.it.reclaim = false // whatever comes of it: the next try may be told otherwise
		t.step("claiming")
		err := t.claimByLabel(ctx)
		if reclaim && errors.Is(err, errTaken) {
			return errDisowned.because(err)
		}
		if err != nil {
			return err
		}
	}
	if t.rec().Registered && !t.it.register {
		return nil
	}
	t.step("registering at the Authorization Server")
	if err := t.register(ctx); err != nil {
		return err
	}
	// The flag is saved with the next step: registering twice does no harm.
	t.registered, t.it.register = true, false
	return nil
}

// ensureAddress looks for a device whose address is not known, or was of no use
// the last time.
func (t *task) ensureAddress(ctx context.Context) error {
	if t.rec().address().IsValid() && !t.it.relocate {
		return nil
	}
	t.step("searching")
	err := t.s.locate(ctx, t.d)
	if errors.Is(err, errNotFound) && t.rec().address().IsValid() {
		err = nil // it may hear unicast only
	}
	t.it.relocate = t.it.relocate && err != nil
	return err
}

// claimByLabel exchanges credentials. Repeated with the same site credential the
// device answers the same until the owner key was first used; so the key is
// durable before that.
func (t *task) claimByLabel(ctx context.Context) error {
	session, err := t.s.labelSession(t.d)
	if err != nil {
		return err
	}
	site, r := t.s.record(), t.rec()
	creds, err := t.s.firstCommissioners(ctx)
	if err != nil {
		return err
	}
	var answer claimAnswer
	err = call(ctx, session, coap.POST, "/ll/claim", claimRequest{
		SiteCred: site.Cred, Name: nameOf(r), Site: site.id(),
		AS: server{site.ASAddress, site.ASCred}, GM: server{site.GMAddress, site.GMCred},
		Commissioners: creds,
	}, &answer)
	if err != nil {
		return t.whyNotClaimed(ctx, err)
	}
	if !r.matches(answer.Cred) {
		return errMismatch
	}
	cred, err := cose.ParseCCS(answer.Cred)
	if err != nil {
		return errMismatch.because(err)
	}
	key, err := cose.DerivedKey(r.Secret, t.s.key(), cred.Public, site.Cred, answer.Cred)
	if err != nil {
		return errMismatch.because(err)
	}
	t.d.sessions = deviceSessions{}
	err = t.save(ctx, func(r *deviceRecord) {
		r.Cred, r.OwnerKey, r.Registered = answer.Cred, key, false
		r.ListRev, r.ListVersion = 0, 0
		r.Groups, r.Handover = nil, nil // an unclaimed device is in no group
		r.LastSeen, r.Found = t.s.e.now(), true
	})
	if err != nil {
		return err
	}
	return t.s.outdate(ctx)
}

func nameOf(r *deviceRecord) string {
	if r.Name != "" {
		return r.Name
	}
	return r.id()
}

// whyNotClaimed finds out what a refused claim means. A refusal without
// protection is explained by what the device says openly about itself.
func (t *task) whyNotClaimed(ctx context.Context, cause error) error {
	var re *coap.ResponseError
	if !unknownContext(cause) {
		if errors.As(cause, &re) && re.Code == coap.Conflict {
			return errTaken.because(cause)
		}
		return with(atDevice, "claiming", cause)
	}
	who, err := t.s.identify(ctx, t.rec().address())
	switch {
	case err != nil:
		return with(atDevice, "asking who it is", err)
	case string(who.ID) != string(t.rec().ID):
		t.it.relocate = true
		return errOther.because(cause)
	case who.Claimed != 0:
		return errTaken.because(cause)
	}
	return errSecret.because(cause)
}

// identify asks a device who it is; nothing of the answer is proven.
func (s *site) identify(ctx context.Context, addr netip.AddrPort) (who deviceIdentity, err error) {
	return s.identifyWith(ctx, addr, coap.NewRequest(coap.GET, "/ll/id", nil))
}

func (s *site) identifyWith(ctx context.Context, addr netip.AddrPort, req *coap.Message) (who deviceIdentity, err error) {
	resp, err := s.e.wire.Exchange(ctx, addr, req)
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	if err == nil {
		err = cbor.Unmarshal(resp.Payload, &who)
	}
	return who, err
}

// register tells the Authorization Server that the device is this installer's.
func (t *task) register(ctx context.Context) error {
	r := t.rec()
	sum := cose.Thumbprint(r.Cred)
	err := call(ctx, &t.s.as, coap.PUT, "/devices/"+t.d.id, registration{sum[:], r.Model}, nil)
	var re *coap.ResponseError
	if errors.As(err, &re) {
		switch re.Code {
		case coap.Forbidden:
			return errForeign.because(err)
		case coap.Conflict:
			return errOtherKey.because(err)
		}
	}
	return with(atAS, "registering the device", err)
}
