package as

import (
	"bytes"
	"context"
	"encoding/hex"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// refresh decides about a request with a refresh token. It renews the token of a
// key that was issued to this client: for the same audience, subject and key, with
// no more rights than the client was granted with it and its policy still allows.
// It lasts as long as the key is on record, so there is one for each key. RFC
// 9200, Section 5.8.1; RFC 6749, Section 6.
func (s *Server) refresh(ctx context.Context, who string, i *installerRecord, body *ace.TokenRequest) (*grant, error) {
	old, key, err := s.refreshed(ctx, who, body.Refresh)
	if err != nil {
		return nil, err
	}
	switch {
	case body.Audience != "" && body.Audience != old.Audience:
		return nil, deny(ace.ErrorInvalidRequest, "a refresh token for another audience")
	case body.ReqCnf != nil && !namesKey(body.ReqCnf, key):
		return nil, deny(ace.ErrorInvalidRequest, "a refresh token for another key")
	case body.ClientID != "" && body.ClientID != old.Subject:
		return nil, deny(ace.ErrorInvalidRequest, "a refresh token of another subject")
	case body.Profile.Profile != 0 && body.Profile.Profile != old.profile():
		return nil, deny(ace.ErrorIncompatibleACEProfiles, "profile %d", body.Profile.Profile)
	}
	g := &grant{installer: who, audience: old.Audience, update: key, refreshed: true, cnonce: body.CNonce, tell: body.Profile.Asked}
	device := ""
	if old.Subject != subjectOf(who) {
		device = old.Subject
	}
	a, err := s.identify(ctx, g, i, device)
	if err != nil {
		return nil, err
	}
	asked := []byte(body.Scope)
	if asked == nil {
		asked = old.Scope
	}
	if err := within(asked, old.Scope); err != nil {
		return nil, err
	}
	if err := g.allow(i.Policy, asked, a); err != nil {
		return nil, err
	}
	if body.Scope == nil { // what was asked for is what was granted, and the client does not say it
		g.told = g.scope
	}
	return g, nil
}

// refreshed finds the key of a refresh token that was given to this client.
func (s *Server) refreshed(ctx context.Context, who string, refresh []byte) (old *tokenRecord, key []byte, err error) {
	key, ok := refreshKey(refresh)
	if ok {
		err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
			old, err = load[tokenRecord](tx, prefixToken+hex.EncodeToString(key))
			return err
		})
	}
	switch {
	case err != nil:
		return nil, nil, err
	case old == nil || expired(old.Expires, s.cfg.Now()) || old.Installer != who || !old.opens(refresh):
		return nil, nil, deny(ace.ErrorInvalidGrant, "no refresh token of this client")
	}
	return old, key, nil
}

func namesKey(cnf *ace.Confirmation, key []byte) bool {
	kid, err := confirmation(cnf)
	return err == nil && bytes.Equal(kid, key)
}

// within checks that a scope asks for nothing beyond another.
func within(asked, granted []byte) error {
	want, err := readScope(asked)
	if err != nil {
		return err
	}
	had, err := ace.ParseScope(granted)
	if err != nil {
		return err
	}
	roles := make(map[string]ace.Role)
	for _, e := range had.Users {
		roles[e.Group] = e.Roles
	}
	for _, e := range want.Users {
		if !roles[e.Group].Has(e.Roles) {
			return deny(ace.ErrorInvalidScope, "more than was granted at first")
		}
	}
	for _, e := range want.Admins {
		var perm ace.Perm
		for _, h := range had.Admins {
			if covers(h.Groups, e.Groups) {
				perm |= h.Perm
			}
		}
		if !perm.Has(e.Perm) {
			return deny(ace.ErrorInvalidScope, "more than was granted at first")
		}
	}
	return nil
}
