package gm

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// Keys in the store. Group names hold no slash (ace.ValidGroupName), so a name
// can be followed by one.
//
//	g/NAME           groupRecord
//	i/GID            NAME, current Gids only
//	p/PREFIX         NAME, for ever: no other group gets Gids that begin so
//	m/NAME/NODE      memberRecord
//	s/NAME/SUBJECT   NODE
//	k/NAME/SENDERID  NODE, current Sender IDs only
//	a/ID             associationRecord, ID is the Group Manager's Recipient ID
//	t/TOKEN/ID       an association made with the input material TOKEN
//	u/SUBJECT/ID     an association of the subject
//	q/ID             the association's reserved Sender Sequence Number
//	n                the serial number of the newest association
//	r/j/NAME         rekeyJob: the latest rekeying of a group
//	r/p/NAME/NODE    memberProgress: how far a member is with it
//	r/l/NAME/NODE    leafRecord: a member's place in the tree of keys
//	r/n/NAME/SUBJECT notice: what somebody is still to be told
//	e/NAME/SUBJECT   evicted by the latest rekeying as its Gid came round again
//	v/NAME/SUBJECT   evictionRecord: whose tokens are of no use any more
//	b/ACTOR          a person who was revoked
//	x/…              revoked tokens, and associations by their tokens (revoke.go)
//	format           the number of this format (package schema)
//
// What may be any bytes stands in hex.
func groupKey(name string) string            { return "g/" + name }
func gidKey(gid []byte) string               { return "i/" + hex.EncodeToString(gid) }
func prefixKey(prefix []byte) string         { return "p/" + hex.EncodeToString(prefix) }
func memberKey(name, node string) string     { return "m/" + name + "/" + node }
func subjectKey(name, subject string) string { return "s/" + name + "/" + hexString(subject) }
func senderKey(name string, sid []byte) string {
	return "k/" + name + "/" + hex.EncodeToString(sid)
}
func associationKey(id string) string         { return "a/" + id }
func tokenKey(token []byte, id string) string { return "t/" + hex.EncodeToString(token) + "/" + id }
func ownerKey(subject, id string) string      { return "u/" + hexString(subject) + "/" + id }
func sequenceKey(id string) string            { return "q/" + id }

const serialKey = "n"

func hexString(s string) string { return hex.EncodeToString([]byte(s)) }

// groupRecord is the durable state of a group, without its members.
type groupRecord struct {
	Name            string           `cbor:"1,keyasint"`
	Num             uint64           `cbor:"2,keyasint"` // version of the keys
	Prefix          []byte           `cbor:"3,keyasint"` // how all its Gids begin
	GID             []byte           `cbor:"4,keyasint"`
	MasterSecret    cose.Secret      `cbor:"5,keyasint"`
	MasterSalt      []byte           `cbor:"6,keyasint"`
	Algs            group.Algorithms `cbor:"7,keyasint"`
	Expires         uint64           `cbor:"8,keyasint"` // of the keys, seconds since 1970
	Lifetime        uint64           `cbor:"9,keyasint"` // of each version, seconds
	CheckInterval   uint64           `cbor:"10,keyasint"`
	ExpirationDelta uint64           `cbor:"11,keyasint"`
	NextSID         uint64           `cbor:"12,keyasint"`
	SenderIDs       uint64           `cbor:"13,keyasint"` // NextSID stays below
	Stale           []staleSet       `cbor:"14,keyasint"` // oldest first, the last is the current version's
	MaxStaleSets    int              `cbor:"15,keyasint"`
	NextNode        uint64           `cbor:"16,keyasint"`
	Inactive        bool             `cbor:"17,keyasint"`
	Multicast       string           `cbor:"18,keyasint"`
	Curve           cose.Curve       `cbor:"20,keyasint"` // of key agreement; 0 without the pairwise mode
	Description     *string          `cbor:"40,keyasint"` // nil: none
	AppGroups       []string         `cbor:"41,keyasint"`
	RekeyOnJoin     bool             `cbor:"30,keyasint"`
	Period          uint64           `cbor:"31,keyasint"` // the longest time that keys are used, seconds; 0: their lifetime
	Scheme          int              `cbor:"32,keyasint"` // one of the ACE Groupcomm Rekeying Schemes
	ControlGroupURI string           `cbor:"33,keyasint"`
	Tree            *treeRecord      `cbor:"34,keyasint"` // of the scheme for many; nil: none was needed yet
	RekeyedAt       uint64           `cbor:"35,keyasint"` // seconds since 1970
	GIDs            uint64           `cbor:"36,keyasint"` // how many there are, which come round again; 0: none ever does
	ConfigNum       uint64           `cbor:"42,keyasint"` // the first version of the keys under the current algorithms
}

// staleSet holds the Sender IDs that became stale under one version of the keys.
// KGO, Section 7.1.
type staleSet struct {
	Num  uint64   `cbor:"1,keyasint"`
	SIDs [][]byte `cbor:"2,keyasint"`
}

// memberRecord is a member of a group.
type memberRecord struct {
	Node       string   `cbor:"1,keyasint"`
	Subject    string   `cbor:"2,keyasint"` // the token's sub
	SenderID   []byte   `cbor:"3,keyasint"` // nil for a monitor
	Cred       []byte   `cbor:"4,keyasint"` // nil for a monitor
	Roles      ace.Role `cbor:"5,keyasint"`
	NC         []byte   `cbor:"6,keyasint"` // clientchallenge, RFC 9594, Section 4.3.1
	Scope      []byte   `cbor:"7,keyasint"` // of the latest Join Request
	Actor      string   `cbor:"8,keyasint"` // who obtained its latest association, empty: itself
	Joined     int64    `cbor:"9,keyasint"` // seconds since 1970
	ControlURI string   `cbor:"10,keyasint"`
	Assoc      string   `cbor:"20,keyasint"` // the association that it joined over
	BirthGID   []byte   `cbor:"21,keyasint"` // the Gid when it joined, where Gids come round again
}

// associationRecord is a token that was accepted and the OSCORE association that
// came of it.
type associationRecord struct {
	ID           string      `cbor:"1,keyasint"` // RecipientID in hex
	Serial       uint64      `cbor:"2,keyasint"`
	Token        []byte      `cbor:"3,keyasint"` // id of the OSCORE input material
	Subject      string      `cbor:"4,keyasint"`
	Thumbprint   []byte      `cbor:"5,keyasint"` // of the only credential it may join with; nil: any
	Actor        string      `cbor:"6,keyasint"`
	Scope        []byte      `cbor:"7,keyasint"` // as in the token, without the tag
	Expires      uint64      `cbor:"8,keyasint"` // seconds since 1970
	MasterSecret cose.Secret `cbor:"9,keyasint"`
	MasterSalt   []byte      `cbor:"10,keyasint"`
	IDContext    []byte      `cbor:"11,keyasint"`
	SenderID     []byte      `cbor:"12,keyasint"` // ID1
	RecipientID  []byte      `cbor:"13,keyasint"` // ID2
	NS           []byte      `cbor:"14,keyasint"` // kdcchallenge; nil: lost or never needed
	Proven       []byte      `cbor:"15,keyasint"` // thumbprint of the credential that the client itself proved last

	Origin  string `cbor:"20,keyasint,omitempty"` // who obtained it first, and so knows its keys; empty: the subject itself
	Revoked bool   `cbor:"21,keyasint,omitempty"` // serves nothing any more but the notice of an eviction

	// Of the DTLS profile; those of the OSCORE profile's are empty then.
	Profile int         `cbor:"30,keyasint,omitempty"` // one of the ACE Profiles, 0: OSCORE
	PSK     cose.Secret `cbor:"31,keyasint,omitempty"`
	Hash    []byte      `cbor:"32,keyasint,omitempty"` // of the token, in both profiles
	Issued  uint64      `cbor:"33,keyasint,omitempty"` // its iat
}

// entry finds the user entry for a group; ok is false when the token does not
// speak of it.
func (a *associationRecord) entry(name string) (ace.ScopeEntry, bool) {
	scope, err := ace.ParseScope(a.Scope)
	if err != nil {
		return ace.ScopeEntry{}, false
	}
	i := slices.IndexFunc(scope.Users, func(e ace.ScopeEntry) bool { return e.Group == name })
	if i < 0 {
		return ace.ScopeEntry{}, false
	}
	return scope.Users[i], true
}

// groups are the names of the groups that the token speaks of.
func (a *associationRecord) groups() []string {
	scope, _ := ace.ParseScope(a.Scope) // no user entries where it fails
	names := make([]string, len(scope.Users))
	for i, e := range scope.Users {
		names[i] = e.Group
	}
	return names
}

// load reads a record; nil when there is none.
func load[T any](tx store.Tx, key string) (*T, error) {
	data, err := tx.Get(key)
	if err != nil || data == nil {
		return nil, err
	}
	v := new(T)
	if err := cbor.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("reading a stored record: %w", err)
	}
	return v, nil
}

func save(tx store.Tx, key string, v any) error {
	data, err := cbor.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	return tx.Put(key, data)
}

func loadMember(tx store.Tx, name, subject string) (*memberRecord, error) {
	node, err := tx.Get(subjectKey(name, subject))
	if err != nil || node == nil {
		return nil, err
	}
	return load[memberRecord](tx, memberKey(name, string(node)))
}

// eachMember calls fn for every member of a group until it returns false.
func eachMember(tx store.Tx, name string, fn func(*memberRecord) bool) error {
	var failed error
	err := tx.Scan("m/"+name+"/", func(_ string, data []byte) bool {
		m := new(memberRecord)
		if failed = cbor.Unmarshal(data, m); failed != nil {
			return false
		}
		return fn(m)
	})
	if failed != nil {
		return fmt.Errorf("reading a stored member: %w", failed)
	}
	return err
}

func loadCounter(tx store.Tx, key string) (uint64, error) {
	data, err := tx.Get(key)
	if err != nil || data == nil {
		return 0, err
	}
	return strconv.ParseUint(string(data), 10, 64)
}

func saveCounter(tx store.Tx, key string, v uint64) error {
	return tx.Put(key, strconv.AppendUint(nil, v, 10))
}

// everyMember lists the members of a group.
func everyMember(tx store.Tx, name string) (members []*memberRecord, err error) {
	err = eachMember(tx, name, func(m *memberRecord) bool { members = append(members, m); return true })
	return members, err
}
