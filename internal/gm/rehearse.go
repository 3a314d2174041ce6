package gm

import (
	"bytes"
	"context"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// memo keeps the costly results of one request: public-key operations, which
// changes would else do one after the other, each while it holds the store. A
// request with a proof is therefore rehearsed on a snapshot first, beside others
// on all processors; the change itself then finds what it needs here, if nothing
// has come between.
type memo struct {
	cred, input, proof []byte // what was verified
	good               bool

	nc     []byte // what was signed over
	id     *Identity
	signed *ace.KDCCredResponse
}

// rehearse runs a request up to its first write.
func (s *Server) rehearse(ctx context.Context, r *resource, work func(store.Tx) error) {
	if r.change == "join" {
		_ = s.cfg.Store.View(ctx, work) // it ends at its first write; the change decides
	}
}

// verify is cred.Verify(input, proof).
func (m *memo) verify(cred *cose.Credential, raw, input, proof []byte) bool {
	if m.input == nil || !bytes.Equal(m.cred, raw) || !bytes.Equal(m.input, input) || !bytes.Equal(m.proof, proof) {
		m.cred, m.input, m.proof = raw, input, proof
		m.good = cred.Verify(input, proof)
	}
	return m.good
}

// sign is the Group Manager's signature over a client's nonce and one of its own.
func (m *memo) sign(s *Server, id *Identity, nc []byte) (*ace.KDCCredResponse, error) {
	if m.signed != nil && m.id == id && bytes.Equal(m.nc, nc) {
		return m.signed, nil
	}
	nonce, err := s.random(challengeLen)
	if err != nil {
		return nil, err
	}
	signed := &ace.KDCCredResponse{KDCCred: id.Cred, KDCNonce: nonce}
	if signed.KDCCredVerify, err = id.Key.Sign(ace.KDCPoPInput(nc, nonce)); err != nil {
		return nil, err
	}
	m.nc, m.id, m.signed = nc, id, signed
	return signed, nil
}
