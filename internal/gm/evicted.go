package gm

import (
	"bytes"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// Who left may join again with the same token (RFC 9594, Section 4.8.3.1). Whoever
// an administrator has evicted may not: the node counts as compromised (Section 5),
// and with its association it would have the new keys at once. Its tokens are of no
// use for that group any more; one that the Authorization Server issues afterwards
// is, as that server has decided anew (Section 9, error 5).

// evictionRecord says which tokens of a subject are of no use for a group.
type evictionRecord struct {
	At     uint64   `cbor:"1,keyasint"` // all that were issued before, seconds since 1970
	Tokens [][]byte `cbor:"2,keyasint"` // hashes of those that were known, whatever clock issued them
}

const maxEvictedTokens = 2 * maxPerSubject

func evictionKey(name, subject string) string { return "v/" + name + "/" + hexString(subject) }

// covers says whether an association rests on such a token.
func (r *evictionRecord) covers(a *associationRecord) bool {
	return r != nil && (a.Issued < r.At || slices.ContainsFunc(r.Tokens, func(h []byte) bool { return bytes.Equal(h, a.Hash) }))
}

func loadEviction(tx store.Tx, name, subject string) (*evictionRecord, error) {
	return load[evictionRecord](tx, evictionKey(name, subject))
}

// lapse makes the tokens that a subject has by now useless for a group.
func (s *Server) lapse(tx store.Tx, name, subject string) error {
	r, err := loadEviction(tx, name, subject)
	if err != nil {
		return err
	}
	if r == nil {
		r = &evictionRecord{}
	}
	all, err := indexed(tx, ownerKey(subject, ""))
	if err != nil {
		return err
	}
	for _, a := range all {
		if _, speaks := a.entry(name); speaks && a.Hash != nil && !r.covers(a) {
			r.Tokens = append(r.Tokens, a.Hash)
		}
	}
	r.At = max(r.At, uint64(s.cfg.Now().Unix()))
	r.Tokens = r.Tokens[max(0, len(r.Tokens)-maxEvictedTokens):]
	return save(tx, evictionKey(name, subject), r)
}

// lapsedDetail is the sentence for who tries to join with such a token.
const lapsedDetail = "This member was evicted; to join again takes a token that was issued since."

// refuseEvicted refuses whose token is of no use for the group since its eviction. To
// everything but a Join Request it is as if it were no member.
func (x *exchange) refuseEvicted(r *resource, name string) (*coap.Message, error) {
	e, err := loadEviction(x.tx, name, x.assoc.Subject)
	switch {
	case err != nil || !e.covers(x.assoc):
		return nil, err
	case r.allow&outsider == 0:
		return ace.Problem(coap.Forbidden, r.denied, ""), nil
	}
	return ace.Problem(coap.Forbidden, ace.ErrorTerminated, lapsedDetail), nil
}
