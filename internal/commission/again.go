package commission

import (
	"context"
	"errors"

	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// acceptAgain takes an invitation to a site where this browser is enrolled. One
// to the same person replaces the rights, and one to anybody does when those that
// there were are revoked. Otherwise the browser stays who it is and takes over
// addresses only: a used link that is opened again, one that is for somebody else.
func (e *Engine) acceptAgain(ctx context.Context, inv Invitation, name string, rec *siteRecord) error {
	own := e.signIn(ctx, string(rec.Code))
	if errors.Is(own, errLink) {
		return own
	}
	renew := own != nil || inv.Installer == rec.Installer
	if renew {
		err := e.signIn(ctx, inv.AccessCode)
		if err != nil && own != nil {
			return err
		}
		renew = err == nil
	}
	before := e.current()
	if err := e.found(ctx, name, inv); err != nil {
		return err
	}
	if err := e.enter(ctx, name); err != nil {
		return err
	}
	s := e.current()
	if renew {
		err := s.enrolAgain(ctx, inv)
		if err == nil {
			return nil
		}
		if own != nil || !errors.Is(err, errUsed) {
			e.comeBack(ctx, before, name)
			return err
		}
		if err := e.signIn(ctx, string(rec.Code)); err != nil { // the session of before again
			return err
		}
	}
	err := s.update(ctx, func(r *siteRecord) { r.locate(inv) })
	if err != nil {
		return asProblem(err)
	}
	return nil
}

// enrolledAt returns what is stored of a site where this browser is enrolled; nil
// where it is not.
func (e *Engine) enrolledAt(ctx context.Context, name string) (rec *siteRecord, err error) {
	err = siteStore(e.cfg.Store, name).View(ctx, func(tx store.Tx) (err error) {
		rec, err = get[siteRecord](tx, keySite)
		return err
	})
	if err != nil {
		return nil, errStorage.because(err)
	}
	if !rec.enrolled() {
		return nil, nil
	}
	return rec, nil
}

// enrolAgain trades another invitation for new rights of the same credential. The
// old installer key stays until the new one is durable; after a crash between,
// the same link does it again.
func (s *site) enrolAgain(ctx context.Context, inv Invitation) error {
	s.enrolling.Lock()
	defer s.enrolling.Unlock()
	r := *s.record()
	as, err := cose.ParseCCS(inv.ASCred)
	if err != nil {
		return errInvitation.because(err)
	}
	r.Invitation, r.Secret = inv.ID, inv.Secret
	r.locate(inv)
	if err := s.postEnrolment(ctx, &r); err != nil {
		return err
	}
	key, err := cose.DerivedKey(inv.Secret, s.key(), as.Public, r.Cred, inv.ASCred)
	if err != nil {
		return errWrongAS.because(err)
	}
	err = s.update(ctx, func(r *siteRecord) {
		r.locate(inv)
		r.InstallerKey, r.Installer, r.Code = key, inv.Installer, cose.Secret(inv.AccessCode)
	})
	if err != nil {
		return asProblem(err)
	}
	s.gm.forget()
	s.e.info("", "enrolled again at the Authorization Server")
	return nil
}
