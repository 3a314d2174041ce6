package updater

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
)

// postSession opens or aborts a session.
func (u *Updater) postSession(_ context.Context, req *coap.Request) *coap.Message {
	r, err := firmware.ParseSessionRequest(req.Payload)
	switch {
	case err != nil:
		err = refuse(errMalformed, "This opens and aborts no session: %v.", err)
	case r.Op == firmware.OpAbort:
		err = u.abort(r)
	default:
		err = u.open(r, req.Peer)
	}
	if err != nil {
		return problem(err)
	}
	return done(coap.Changed)
}

// open begins to receive the image of the staged manifest. When that stands in the
// slot already, from a session before, nothing has to be received.
func (u *Updater) open(r firmware.SessionRequest, peer coap.Peer) error {
	if s := u.rec.Session; s != nil && bytes.Equal(s.ID, r.Session) {
		return nil
	}
	if err := u.free(peer); err != nil {
		return err
	}
	s, err := u.wanted(r)
	if err != nil {
		return err
	}
	img := s.Manifest.Image
	if sum, err := digest(u.cfg.Flash, u.areas.slots[1-u.rec.Slot], img.Size); err == nil && bytes.Equal(sum, img.Digest) {
		s.Phase = verified
	}
	next := u.rec.clone()
	next.Session, next.Staged = s, nil
	next.Epoch++
	next.Result, next.Reason, next.Last = firmware.ResultNone, "", nil
	if err := u.commit(next); err != nil {
		return err
	}
	u.refused = refusal{}
	u.receive()
	u.rx.feeder = feeder(peer)
	u.log.Info("a session is open", "sequence", img.Sequence, "bytes", img.Size, "block", s.Block, "k", s.K)
	if s.Phase == verified {
		return nil
	}
	return u.prepare()
}

// free says why peer can open no session now. Who feeds one may begin another in
// its place: the end of the one before may not have been heard.
func (u *Updater) free(peer coap.Peer) error {
	own := u.rec.Session != nil && u.rx.feeder != nil && bytes.Equal(u.rx.feeder, feeder(peer))
	switch {
	case u.testing:
		return refuse(errConflict, "The device tests an image: confirm or revert that first.")
	case u.switching != nil || u.rec.Trial != nil || !u.restart.IsZero():
		return refuse(errConflict, "The device is about to switch: cancel that first.")
	case u.rec.Session != nil && !own && u.cfg.Now().Sub(u.rx.fed) < firmware.Stale*time.Second:
		return refuse(errConflict, "The device receives another image: abort that, or wait a minute after its last block.")
	}
	return nil
}

// wanted is the session that a request asks for.
func (u *Updater) wanted(r firmware.SessionRequest) (*session, error) {
	m := u.rec.Staged
	if m == nil {
		return nil, refuse(errBefore, "The manifest has to come first.")
	}
	s := &session{ID: r.Session, Manifest: *m, Block: int(r.Block), K: int(r.K)}
	l := s.layout()
	switch {
	case s.Block > u.cfg.Ability.Block || s.K > u.cfg.Ability.K:
		return nil, refuse(errTooLarge, "The device takes blocks of at most %d bytes and generations of at most %d.", u.cfg.Ability.Block, u.cfg.Ability.K)
	case l.Check() != nil:
		return nil, refuse(errMalformed, "The image cannot be cut into such blocks.")
	case l.Generations() > u.areas.maxGens:
		return nil, refuse(errTooLarge, "The image would have %d generations, and the device keeps at most %d: take larger blocks.", l.Generations(), u.areas.maxGens)
	case !bytes.Equal(l.SessionID(m.Digest), r.Session):
		return nil, refuse(errBefore, "The session is not of the manifest that the device has: send that first.")
	}
	if err := u.older(m); err != nil {
		return nil, err
	}
	if m.Slot == u.rec.Slot {
		return nil, refuse(errBefore, "The slots have changed places since the manifest came: send that once more.")
	}
	return s, nil
}

// abort drops what was received, its manifest and a switch that is to come. Once the
// image runs only a switch takes it back.
func (u *Updater) abort(r firmware.SessionRequest) error {
	switch {
	case u.rec.Session == nil || !bytes.Equal(u.rec.Session.ID, r.Session):
		return nil
	case u.testing:
		return refuse(errConflict, "The device runs the image already: revert it.")
	}
	next := u.rec.clone()
	next.Staged = nil
	next.end(firmware.ResultCanceled, "The transfer was aborted.")
	return u.commit(next)
}

// putBlock takes one block.
func (u *Updater) putBlock(_ context.Context, req *coap.Request) *coap.Message {
	b, err := firmware.ParseBlock(req.Payload)
	if err != nil {
		return problem(refuse(errMalformed, "This is no block."))
	}
	s := u.rec.Session
	if s == nil || !bytes.Equal(s.ID, b.Session) {
		return problem(refuse(errBefore, "This session is not open."))
	}
	if wrong := u.rx.check(b); wrong != "" {
		return problem(refuse(errMalformed, "%s", wrong))
	}
	if b.Index >= firmware.MaxK && u.cfg.Ability.Parity == 0 {
		return problem(refuse(errUnbuilt, "The device has no decoder for parity blocks."))
	}
	u.rx.heard++
	u.rx.last = firmware.Number(b.Generation, b.Index)
	u.rx.fed, u.rx.feeder = u.cfg.Now(), feeder(req.Peer)
	if s.Phase == verified {
		return done(coap.Changed)
	}
	completed, err := u.rx.take(b)
	if err != nil {
		return problem(u.fail(err))
	}
	if err := u.settle(completed); err != nil {
		return problem(err)
	}
	return done(coap.Changed)
}

// feeder names who sent a block, nil where nobody is proven.
func feeder(p coap.Peer) []byte {
	cred := p.Cred
	if p.Kind == coap.PeerPSK {
		cred, _ = p.Data.([]byte)
	}
	if len(cred) == 0 {
		return nil
	}
	sum := cose.Thumbprint(cred)
	return sum[:firmware.DigestSize]
}
