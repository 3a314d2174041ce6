package as

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/ace/iregexp"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

const (
	maxCNonce  = 64   // bytes
	maxRequest = 4096 // bytes: of a token request, which bounds the token's scope
)

// denial is a token request that is refused. RFC 9200, Section 5.8.3.
type denial struct {
	error ace.ASErrorCode
	why   string // for the log alone
}

func (d *denial) Error() string { return d.why }

func deny(code ace.ASErrorCode, format string, args ...any) error {
	return &denial{code, fmt.Sprintf(format, args...)}
}

// grant is what a token request comes to.
type grant struct {
	installer string // id of who asked
	subject   string // whom the token is for
	actor     string // who asked, when that is not the subject
	thumb     []byte // of the credential that the subject must join with
	audience  string
	scope     []byte // of the token
	told      []byte // of the answer; nil: what was asked for
	update    []byte // id of the key whose rights change; nil: a new key
	refreshed bool   // by a refresh token
	cnonce    []byte
	profile   int  // by which the token is used; 0: that of the key
	tell      bool // the client asked for the profile
	life      time.Duration
	until     uint64 // the token ends then at the latest, seconds since 1970; 0: no end
}

// token answers POST /token: 2.01 with a token, or {30: error} with 4.00, and
// 4.01 for somebody who is no client here. Who is nobody's peer costs no access
// to the store. RFC 9200, Section 5.8.
func (s *Server) token(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, err := s.client(ctx, req)
	if err != nil {
		return s.broken("token", err)
	}
	if i == nil {
		return s.refuse(coap.Unauthorized, ace.ErrorInvalidClient)
	}
	g, err := s.consider(ctx, who, i, req)
	var resp *ace.TokenResponse
	if err == nil {
		resp, err = s.issue(ctx, g)
	}
	var no *denial
	switch {
	case errors.As(err, &no):
		s.count(EventDenied)
		s.log.Info("denied a token", "installer", who, "error", no.error.String(), "why", no.why)
		if no.error == ace.ErrorInvalidClient {
			return s.refuse(coap.Unauthorized, no.error)
		}
		return s.refuse(coap.BadRequest, no.error)
	case errors.Is(err, errTooMany):
		s.count(EventDenied)
		s.log.Warn("denied a token", "installer", who, "why", err.Error())
		return coap.Problem(coap.TooManyRequests, "Too many tokens of this client are in use.")
	case err != nil:
		return s.broken("token", err)
	}
	m := coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
	coap.AddUint(m, coap.OptionMaxAge, uint32(min(resp.ExpiresIn, math.MaxUint32))) // RFC 9202, Section 3.2.1
	return m
}

// consider checks a request and decides what it gets. RFC 9200, Sections 5.8.1
// and 5.8.3.
func (s *Server) consider(ctx context.Context, who string, i *installerRecord, req *coap.Request) (*grant, error) {
	body, err := readTokenRequest(req)
	if err != nil {
		return nil, err
	}
	if body.GrantType != nil && *body.GrantType == ace.GrantRefreshToken {
		return s.refresh(ctx, who, i, body)
	}
	g := &grant{installer: who, audience: s.cfg.Audience, cnonce: body.CNonce, tell: body.Profile.Asked}
	if body.Audience != "" {
		g.audience = body.Audience
	}
	if _, ok := s.cfg.GMs[g.audience]; !ok {
		return nil, deny(ace.ErrorInvalidRequest, "no Group Manager has the audience that was asked for")
	}
	if g.profile, err = s.chooseProfile(g.audience, body.Profile); err != nil {
		return nil, err
	}
	if g.update, err = confirmation(body.ReqCnf); err != nil {
		return nil, err
	}
	if g.update != nil && body.Profile.Profile == 0 {
		g.profile = 0
	}
	a, err := s.identify(ctx, g, i, body.ClientID)
	if err != nil {
		return nil, err
	}
	return g, g.allow(i.Policy, body.Scope, a)
}

// readTokenRequest decodes a request and refuses what no policy decides.
func readTokenRequest(req *coap.Request) (*ace.TokenRequest, error) {
	if format, has := coap.ContentFormat(req.Message); has && format != ace.FormatACE {
		return nil, deny(ace.ErrorInvalidRequest, "content format %d", format)
	}
	if len(req.Payload) > maxRequest {
		return nil, deny(ace.ErrorInvalidRequest, "a request of %d bytes", len(req.Payload))
	}
	body, err := ace.Decode[ace.TokenRequest](req.Payload)
	switch {
	case errors.Is(err, ace.ErrScope):
		return nil, deny(ace.ErrorInvalidScope, "the scope is no byte string")
	case err != nil:
		return nil, deny(ace.ErrorInvalidRequest, "malformed")
	case body.GrantType != nil && *body.GrantType != ace.GrantClientCredentials && *body.GrantType != ace.GrantRefreshToken:
		return nil, deny(ace.ErrorUnsupportedGrantType, "grant type %d", *body.GrantType)
	case len(body.CNonce) > maxCNonce:
		return nil, deny(ace.ErrorInvalidRequest, "cnonce of %d bytes", len(body.CNonce))
	}
	return body, nil
}

// chooseProfile is the profile that a client names, or else the first one of the
// Group Manager. RFC 9200, Section 5.8.2.
func (s *Server) chooseProfile(audience string, asked ace.ProfileParam) (int, error) {
	profiles := s.cfg.options(audience).Profiles
	switch {
	case asked.Profile == 0:
		return profiles[0], nil
	case !slices.Contains(profiles, asked.Profile):
		return 0, deny(ace.ErrorIncompatibleACEProfiles, "profile %d", asked.Profile)
	}
	return asked.Profile, nil
}

// confirmation returns the id of the key that req_cnf names, nil when there is
// none: the id of OSCORE input material, or the kid of a symmetric key, in either
// form. RFC 9203, Section 3.1; RFC 9202, Section 4. A new key always comes from
// here, so a client's own one, and a public one, cannot be confirmed.
func confirmation(cnf *ace.Confirmation) ([]byte, error) {
	switch {
	case cnf == nil:
		return nil, nil
	case cnf.COSEKey.Symmetric() && len(cnf.COSEKey.K) == 0 && cnf.KID == nil:
		return cnf.COSEKey.KID, nil
	case cnf.COSEKey != nil:
		return nil, deny(ace.ErrorUnsupportedPoPKey, "a key as confirmation")
	case cnf.OSCORE != nil || len(cnf.KID) == 0:
		return nil, deny(ace.ErrorInvalidRequest, "req_cnf without kid")
	}
	return cnf.KID, nil
}

// identify says whom the token is for: the installer itself, or a device that is
// registered with the installer's site; and by what the policy decides.
func (s *Server) identify(ctx context.Context, g *grant, i *installerRecord, clientID string) (asking, error) {
	a := asking{audience: g.audience, now: seconds(s.cfg.Now())}
	if clientID == "" {
		sum := cose.Thumbprint(i.Cred)
		g.subject, g.thumb, g.life = subjectOf(g.installer), sum[:], s.cfg.TokenLife
		return a, nil
	}
	if !validDeviceID(clientID) {
		return a, deny(ace.ErrorInvalidRequest, "client_id is no device's id")
	}
	d, err := s.device(ctx, clientID)
	switch {
	case err != nil:
		return a, err
	case d == nil:
		return a, deny(ace.ErrorInvalidRequest, "device %s is not registered", clientID)
	case d.Site != i.site(g.installer):
		return a, deny(ace.ErrorUnauthorizedClient, "device %s is registered by somebody else", clientID)
	}
	g.subject, g.actor, g.thumb, g.life = clientID, g.installer, d.Thumbprint, s.cfg.DeviceLife
	a.assisted, a.device, a.model = true, clientID, d.Model
	return a, nil
}

// subjectOf is the sub of an installer's own tokens.
func subjectOf(installer string) string { return ace.PersonSubject(installer) }

// allow fits the scope to the policy. RFC 9200, Section 5.8.1; GMA, Section 4.
func (g *grant) allow(p Policy, asked []byte, a asking) error {
	var got granted
	if asked == nil {
		got = p.scope(a)
	} else {
		want, err := readScope(asked)
		if err != nil {
			return err
		}
		if got = p.grant(a, want); sameScope(got.scope, want) {
			g.scope = want.Encode()
		}
	}
	if got.scope.Empty() {
		return deny(ace.ErrorInvalidScope, "nothing of the scope is allowed")
	}
	if g.scope == nil {
		g.scope = got.scope.Encode()
		g.told = g.scope
	}
	g.until = got.until
	if !a.assisted { // a device's membership does not end with who equipped it
		g.until = earlier(g.until, p.Until)
	}
	return nil
}

// earlier is the earlier one of two ends, where 0 is none.
func earlier(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func readScope(data []byte) (ace.Scope, error) {
	scope, err := ace.ParseScope(data)
	if err != nil {
		return scope, deny(ace.ErrorInvalidScope, "the scope is malformed, or has patterns that are not supported")
	}
	for _, e := range scope.Admins {
		if _, err := iregexp.Compile(e.Groups); err != nil {
			return scope, deny(ace.ErrorInvalidScope, "a pattern is no I-Regexp")
		}
	}
	return scope, nil
}

func sameScope(a, b ace.Scope) bool {
	return slices.Equal(a.Users, b.Users) && slices.Equal(a.Admins, b.Admins)
}

// issue makes the token of a grant and its answer. The token is on record before
// it returns. RFC 9200, Section 5.8.2.
func (s *Server) issue(ctx context.Context, g *grant) (*ace.TokenResponse, error) {
	secrets, err := s.random(keySize + saltSize + refreshSize)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	expires := seconds(now.Add(g.life))
	if g.until != 0 {
		expires = min(expires, g.until)
	}
	if expires <= seconds(now) {
		return nil, deny(ace.ErrorInvalidScope, "what allows it has ended")
	}
	d := &draft{grant: g, now: now, expires: expires, secrets: secrets}
	if err := s.record(ctx, d); err != nil {
		return nil, err
	}
	resp := &ace.TokenResponse{AccessToken: d.token, ExpiresIn: expires - seconds(now), Scope: g.told, Cnf: d.told}
	if g.update == nil {
		resp.Refresh = d.refreshToken()
	}
	if g.tell || g.update == nil {
		resp.Profile = d.profile
	}
	s.count(EventIssued)
	s.log.Info("issued a token", "subject", g.subject, "actor", g.actor, "audience", g.audience, "profile", d.profile,
		"token", hex.EncodeToString(d.cti), "key", hex.EncodeToString(d.key), "expires", expires, "refreshed", g.refreshed)
	return resp, nil
}
