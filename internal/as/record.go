package as

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// Keys in the store. Ids are hex; times are 16 hex digits, so that they sort.
const (
	prefixInvitation = "invitation/" // id -> invitationRecord
	prefixInstaller  = "installer/"  // id -> installerRecord
	prefixDevice     = "device/"     // id -> deviceRecord
	prefixToken      = "token/"      // id of the key -> tokenRecord
	prefixExpiry     = "expiry/"     // time "/" number of the token -> expiryRecord
	prefixOwner      = "owner/"      // subject, see ownerPrefix, "/" number of the token -> ownerRecord: tokens that have not expired
	prefixRevoked    = "trl/"        // hash -> revokedRecord
	prefixUpdates    = "updates/"    // who is told -> updatesRecord: how the list changed
	keyTokens        = "tokens"      // the highest number of a token that may have been given out
)

// invitationRecord is an invitation from Invite until the installer key that
// replaces it was used.
type invitationRecord struct {
	Secret  cose.Secret `cbor:"1,keyasint"`
	Name    string      `cbor:"2,keyasint"`
	Policy  Policy      `cbor:"3,keyasint"`
	Expires uint64      `cbor:"4,keyasint"`           // seconds since 1970
	Cred    []byte      `cbor:"5,keyasint,omitempty"` // of who enrolled with it
	Since   uint64      `cbor:"6,keyasint,omitempty"` // seconds since 1970
	By      string      `cbor:"7,keyasint,omitempty"` // the id of the administrator who invited; empty: an operator
}

// installerRecord is an enrolled installer. Its id is the beginning of its
// credential's thumbprint.
type installerRecord struct {
	Cred       []byte      `cbor:"1,keyasint"` // the site credential
	Key        cose.Secret `cbor:"2,keyasint"` // the installer key
	Name       string      `cbor:"3,keyasint"`
	Policy     Policy      `cbor:"4,keyasint"`
	Invitation string      `cbor:"5,keyasint,omitempty"` // it dies when Key is first used; empty: it has
	Since      uint64      `cbor:"6,keyasint"`           // seconds since 1970
	Access     []string    `cbor:"7,keyasint,omitempty"` // accesses to the bridge, the oldest first
	Revoked    uint64      `cbor:"8,keyasint,omitempty"` // when, in seconds since 1970; 0: not. Key is then empty
}

// deviceRecord is a registered device.
type deviceRecord struct {
	Site       string `cbor:"1,keyasint"`
	Thumbprint []byte `cbor:"2,keyasint"` // of its credential
	Model      string `cbor:"3,keyasint"`
	Installer  string `cbor:"4,keyasint"` // who registered it
	Since      uint64 `cbor:"5,keyasint"` // seconds since 1970
}

// tokenRecord is the newest token of a key, which may get further rights.
type tokenRecord struct {
	Installer string `cbor:"1,keyasint"`
	Subject   string `cbor:"2,keyasint"`
	Audience  string `cbor:"3,keyasint"`
	Expires   uint64 `cbor:"4,keyasint"`           // seconds since 1970
	Profile   int    `cbor:"5,keyasint,omitempty"` // 0: the OSCORE profile
	Hash      []byte `cbor:"6,keyasint,omitempty"` // of the token
	Refresh   []byte `cbor:"7,keyasint,omitempty"` // SHA-256 of the refresh token
	Scope     []byte `cbor:"8,keyasint,omitempty"` // that was granted with the key
}

func (r *tokenRecord) profile() int {
	if r.Profile == 0 {
		return ace.ProfileOSCORE
	}
	return r.Profile
}

// expiryRecord says what is forgotten when a token expires.
type expiryRecord struct {
	Key     []byte `cbor:"1,keyasint"` // id of the token's key
	Subject string `cbor:"2,keyasint"`
	Hash    []byte `cbor:"3,keyasint"`
}

// ownerRecord is a token that is in use, by its subject.
type ownerRecord struct {
	Installer string `cbor:"1,keyasint"` // who asked for it
	Audience  string `cbor:"2,keyasint"`
	Expires   uint64 `cbor:"3,keyasint"` // seconds since 1970
	Hash      []byte `cbor:"4,keyasint"` // of the token
}

// idSize is how much of a thumbprint is an installer's id, in bytes.
const idSize = 16

func installerID(cred []byte) string {
	sum := cose.Thumbprint(cred)
	return hex.EncodeToString(sum[:idSize])
}

// site returns whose devices the installer acts for.
func (i *installerRecord) site(id string) string {
	switch {
	case i.Policy.Site != "":
		return "site/" + i.Policy.Site
	case i.Policy.With != "":
		return "installer/" + i.Policy.With
	}
	return "installer/" + id
}

func expiryKey(expires uint64, id string) string {
	return fmt.Sprintf("%s%016x/%s", prefixExpiry, expires, id)
}

// ownerPrefix is short: the subjects of the tokens that share a commit are far apart
// in the store, and long keys make it write more pages.
func ownerPrefix(subject string) string {
	const size = 12 // bytes of the hash: nobody finds another subject with the same
	sum := sha256.Sum256([]byte(subject))
	return prefixOwner + hex.EncodeToString(sum[:size]) + "/"
}

func ownerKey(subject, number string) string { return ownerPrefix(subject) + number }

// load reads a record; nil when there is none.
func load[T any](tx store.Tx, key string) (*T, error) {
	data, err := tx.Get(key)
	if err != nil || data == nil {
		return nil, err
	}
	r := new(T)
	if err := cbor.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the record of a %T: malformed", *r) // err could quote a secret
	}
	return r, nil
}

func save(tx store.Tx, key string, record any) error {
	return tx.Put(key, cbor.MustMarshal(record))
}

func seconds(t time.Time) uint64 { return uint64(max(0, t.Unix())) }

func expired(at uint64, now time.Time) bool { return seconds(now) >= at }
