package ace

import (
	"strings"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// RSSession is the secret of the session between a resource server and its
// Authorization Server, for introspection and revocation. It is derived from the
// key that both share for tokens, so that nothing else has to be handed out:
//
//	HKDF(salt = "lamplighter/rs", IKM = the key, info = audience, 32 bytes)
//
// The session runs RFC 8613, Appendix B.2, as all sessions on a pre-shared secret;
// its public name is the audience.
func RSSession(key TokenKey, audience string) oscore.PSK {
	secret := cose.HKDF(key.Key, []byte(oscore.SaltRS), []byte(audience), 32)
	return oscore.NewPSK([]byte("rs/"+audience), secret, oscore.SaltRS)
}

// PersonSubject is the sub of the own tokens of a person, and PersonOf the person of
// such a sub, "" for every other subject. People stand in actor claims and on the
// resource servers' list of revoked people by the id alone.
func PersonSubject(id string) string { return personPrefix + id }

// PersonOf is the inverse of [PersonSubject].
func PersonOf(subject string) string {
	id, ok := strings.CutPrefix(subject, personPrefix)
	if !ok {
		return ""
	}
	return id
}

const personPrefix = "installer/"
