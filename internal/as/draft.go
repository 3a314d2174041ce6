package as

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
)

const (
	keySize     = 16 // bytes: Master Secret, pre-shared key
	saltSize    = 8  // bytes
	refreshSize = 16 // bytes
)

// draft is a token on its way: from a grant, by the number that its record gives
// it, to the sealed token.
type draft struct {
	*grant
	now     time.Time
	expires uint64 // seconds since 1970
	secrets []byte // key, salt, refresh token

	cti, key []byte // the token's number, the id of its key
	profile  int
	told     *ace.Confirmation // cnf of the answer; nil for an update
	token    []byte
}

// seal makes the token. A new key is told to the client as the token has it; an
// update of rights names the key that both sides have. RFC 9203, Sections 3.1 and
// 3.2; RFC 9202, Sections 3.3.1 and 4.
func (s *Server) seal(d *draft) error {
	cnf := &ace.Confirmation{KID: d.key}
	d.told = nil
	if d.update == nil {
		cnf = d.confirm()
		d.told = cnf
	}
	claims := &ace.CWTClaims{
		ISS: s.cfg.Issuer, SUB: d.subject, AUD: d.audience, EXP: d.expires, IAT: seconds(d.now), CTI: d.cti, CNF: cnf,
		Scope:   ace.ScopeClaim{Scope: d.scope, Extended: s.cfg.options(d.audience).ExtendedScope},
		Profile: d.profile, CNonce: d.cnonce, CredThumbprint: d.thumb, Actor: d.actor,
	}
	var err error
	d.token, err = ace.SealToken(s.cfg.GMs[d.audience], claims, s.rand)
	return err
}

// confirm is the new key in the form of the profile.
func (d *draft) confirm() *ace.Confirmation {
	secret := cose.Secret(d.secrets[:keySize])
	if d.profile == ace.ProfileDTLS {
		return &ace.Confirmation{COSEKey: ace.SymmetricKey(d.key, secret)}
	}
	return &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{
		ID: d.key, MasterSecret: secret, Salt: d.secrets[keySize : keySize+saltSize],
	}}
}

// refreshToken is the id of the key, then a secret.
func (d *draft) refreshToken() cose.Secret {
	return append(slices.Clone(d.key), d.secrets[keySize+saltSize:]...)
}

// refreshKey reads which key a refresh token is for.
func refreshKey(refresh []byte) (key []byte, ok bool) {
	n := len(refresh) - refreshSize
	if n < 1 || n > maxKeyID {
		return nil, false
	}
	return refresh[:n], true
}

// maxKeyID is the size of the largest id of a key, in bytes.
const maxKeyID = 8

// refreshHash is what is kept of a refresh token.
func refreshHash(refresh []byte) []byte {
	sum := sha256.Sum256(refresh)
	return sum[:]
}

// opens reports whether a refresh token is the one that was given out with a key.
func (r *tokenRecord) opens(refresh []byte) bool {
	return len(r.Refresh) > 0 && subtle.ConstantTimeCompare(r.Refresh, refreshHash(refresh)) == 1
}
