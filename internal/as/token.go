package as

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

const (
	masterSecretSize = 16 // bytes
	saltSize         = 8  // bytes
	maxCNonce        = 64 // bytes
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
	update    []byte // id of the input material whose rights change; nil: new material
	cnonce    []byte
	profile   bool // the client asked for the profile
	life      time.Duration
}

// token answers POST /token: 2.01 with a token, or {30: error} with 4.00, and
// 4.01 for somebody who is no client here. RFC 9200, Section 5.8.
func (s *Server) token(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, err := s.client(ctx, req)
	if err != nil {
		return s.broken("token", err)
	}
	if i == nil {
		return ace.ASError(coap.Unauthorized, ace.ErrorInvalidClient, "")
	}
	g, err := s.consider(ctx, who, i, req)
	var resp *ace.TokenResponse
	if err == nil {
		resp, err = s.issue(ctx, g)
	}
	var no *denial
	switch {
	case errors.As(err, &no):
		s.log.Info("denied a token", "installer", who, "error", no.error.String(), "why", no.why)
		return ace.ASError(coap.BadRequest, no.error, "")
	case err != nil:
		return s.broken("token", err)
	}
	return coap.Respond(coap.Created, ace.FormatACE, ace.Encode(resp))
}

// consider checks a request and decides what it gets. RFC 9200, Sections 5.8.1
// and 5.8.3.
func (s *Server) consider(ctx context.Context, who string, i *installerRecord, req *coap.Request) (*grant, error) {
	body, err := readTokenRequest(req)
	if err != nil {
		return nil, err
	}
	g := &grant{installer: who, audience: s.cfg.Audience, cnonce: body.CNonce, profile: body.Profile.Asked}
	if body.Audience != "" {
		g.audience = body.Audience
	}
	if _, ok := s.cfg.GMs[g.audience]; !ok {
		return nil, deny(ace.ErrorInvalidRequest, "no Group Manager has the audience that was asked for")
	}
	if g.update, err = confirmation(body.ReqCnf); err != nil {
		return nil, err
	}
	if err := s.identify(ctx, g, i, body.ClientID); err != nil {
		return nil, err
	}
	return g, g.allow(i.Policy, body.Scope)
}

// readTokenRequest decodes a request and refuses what no policy decides.
func readTokenRequest(req *coap.Request) (*ace.TokenRequest, error) {
	if format, has := coap.ContentFormat(req.Message); has && format != ace.FormatACE {
		return nil, deny(ace.ErrorInvalidRequest, "content format %d", format)
	}
	body, err := ace.Decode[ace.TokenRequest](req.Payload)
	switch {
	case errors.Is(err, ace.ErrScope):
		return nil, deny(ace.ErrorInvalidScope, "the scope is no byte string")
	case err != nil:
		return nil, deny(ace.ErrorInvalidRequest, "malformed")
	case body.GrantType != nil && *body.GrantType != ace.GrantClientCredentials:
		return nil, deny(ace.ErrorUnsupportedGrantType, "grant type %d", *body.GrantType)
	case body.Profile.Profile != 0 && body.Profile.Profile != ace.ProfileOSCORE:
		return nil, deny(ace.ErrorIncompatibleACEProfiles, "profile %d", body.Profile.Profile)
	case len(body.CNonce) > maxCNonce:
		return nil, deny(ace.ErrorInvalidRequest, "cnonce of %d bytes", len(body.CNonce))
	}
	return body, nil
}

// confirmation returns the id of the input material that req_cnf names, nil when
// there is none. RFC 9203, Section 3.1.
func confirmation(cnf *ace.Confirmation) ([]byte, error) {
	switch {
	case cnf == nil:
		return nil, nil
	case cnf.COSEKey != nil:
		return nil, deny(ace.ErrorUnsupportedPoPKey, "a key as confirmation")
	case cnf.OSCORE != nil || len(cnf.KID) == 0:
		return nil, deny(ace.ErrorInvalidRequest, "req_cnf without kid")
	}
	return cnf.KID, nil
}

// identify says whom the token is for: the installer itself, or a device that is
// registered with the installer's site.
func (s *Server) identify(ctx context.Context, g *grant, i *installerRecord, clientID string) error {
	if clientID == "" {
		sum := cose.Thumbprint(i.Cred)
		g.subject, g.thumb, g.life = sessionInstaller+g.installer, sum[:], s.cfg.TokenLife
		return nil
	}
	if !validDeviceID(clientID) {
		return deny(ace.ErrorInvalidRequest, "client_id is no device's id")
	}
	d, err := s.device(ctx, clientID)
	switch {
	case err != nil:
		return err
	case d == nil:
		return deny(ace.ErrorInvalidRequest, "device %s is not registered", clientID)
	case d.Site != i.site(g.installer):
		return deny(ace.ErrorUnauthorizedClient, "device %s is registered by somebody else", clientID)
	}
	g.subject, g.actor, g.thumb, g.life = clientID, g.installer, d.Thumbprint, s.cfg.DeviceLife
	return nil
}

// allow fits the scope to the policy.
func (g *grant) allow(p Policy, asked []byte) error {
	assisted := g.actor != ""
	var entries []ace.ScopeEntry
	if asked == nil {
		entries = p.scope(g.audience, assisted)
	} else {
		want, err := ace.DecodeScope(asked)
		if err != nil {
			return deny(ace.ErrorInvalidScope, "the scope is malformed")
		}
		entries = p.grant(g.audience, want, assisted)
		if slices.Equal(entries, want) {
			g.scope = ace.EncodeScope(entries)
			return nil
		}
	}
	if len(entries) == 0 {
		return deny(ace.ErrorInvalidScope, "nothing of the scope is allowed")
	}
	g.scope = ace.EncodeScope(entries)
	g.told = g.scope
	return nil
}

// issue makes the token of a grant and its answer. The token is on record before
// it returns. RFC 9200, Section 5.8.2; RFC 9203, Section 3.2.
func (s *Server) issue(ctx context.Context, g *grant) (*ace.TokenResponse, error) {
	secret, err := s.random(masterSecretSize + saltSize)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	expires := seconds(now.Add(g.life))
	cti, material, err := s.record(ctx, g, now, expires)
	if err != nil {
		return nil, err
	}
	claims := &ace.CWTClaims{
		ISS: s.cfg.Issuer, SUB: g.subject, AUD: g.audience, EXP: expires, IAT: seconds(now), CTI: cti,
		Scope: ace.ScopeClaim{Scope: g.scope}, Profile: ace.ProfileOSCORE, CNonce: g.cnonce,
		CredThumbprint: g.thumb, Actor: g.actor,
	}
	resp := &ace.TokenResponse{ExpiresIn: expires - seconds(now), Scope: g.told}
	if g.profile {
		resp.Profile = ace.ProfileOSCORE
	}
	if g.update != nil {
		claims.CNF = &ace.Confirmation{KID: material}
	} else {
		resp.Cnf = &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{
			ID: material, MasterSecret: secret[:masterSecretSize], Salt: secret[masterSecretSize:],
		}}
		claims.CNF = resp.Cnf
		resp.Profile = ace.ProfileOSCORE
	}
	if resp.AccessToken, err = ace.SealToken(s.cfg.GMs[g.audience], claims, s.rand); err != nil {
		return nil, err
	}
	s.log.Info("issued a token", "subject", g.subject, "actor", g.actor, "audience", g.audience,
		"token", hex.EncodeToString(cti), "material", hex.EncodeToString(material), "expires", expires)
	return resp, nil
}
