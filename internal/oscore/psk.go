package oscore

import (
	"crypto/sha256"
	"fmt"
	"io"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// A session on a pre-shared secret runs RFC 8613, Appendix B.2 always: neither
// side keeps sequence numbers, as each new session has new keys.
//
//	client                                server
//	request #1   kid context = bstr ID1     ID Context = ID1 = R1
//	response #1  kid context = bstr R2      ID Context = R2 | ID1
//	request #2   kid context = bstr R2|R3   ID Context = R2 | R3, from here on
//
// The client sends the kid context with every request, as one secret may have
// several sessions at a time (browsers, tabs). A server that lost a session
// takes its requests for requests #1, and so the protocol starts again by
// itself; a server never acts on a request #1.

// Lengths in bytes.
const (
	sizeR1 = 8
	sizeS2 = 8
	sizeR2 = 16 // S2 | HMAC, see halfOpen
	sizeR3 = 8
	sizeID = 7 // of the client's Sender ID

	maxID1 = 64
)

// Master Salts of the kinds of sessions.
const (
	SaltLabel      = "lamplighter/label"
	SaltOwner      = "lamplighter/owner"
	SaltInvitation = "lamplighter/invitation"
	SaltInstaller  = "lamplighter/installer"
	SaltRS         = "lamplighter/rs"

	SaltCommissioner = "lamplighter/commissioner"
)

// PSK is a pre-shared secret for sessions. The client's Sender ID is KID, the
// server's is empty.
type PSK struct {
	KID    []byte      // at most 7 bytes
	Secret cose.Secret // Master Secret
	Salt   []byte      // Master Salt
}

// NewPSK names a secret: the KID is the first 7 bytes of SHA-256 over the
// public name.
func NewPSK(publicName, secret []byte, salt string) PSK {
	name := sha256.Sum256(publicName)
	return PSK{KID: name[:sizeID], Secret: append(cose.Secret(nil), secret...), Salt: []byte(salt)}
}

// client and server derive the context of an ID Context; it travels as a CBOR
// byte string.
func (p PSK) client(id []byte) (*Context, error) { return p.derive(id, p.KID, nil) }
func (p PSK) server(id []byte) (*Context, error) { return p.derive(id, nil, p.KID) }

func (p PSK) derive(id, sender, recipient []byte) (*Context, error) {
	c, err := New(Params{
		MasterSecret: p.Secret, MasterSalt: p.Salt, IDContext: id,
		SenderID: sender, RecipientID: recipient,
	})
	if err != nil {
		return nil, fmt.Errorf("deriving a session: %w", err)
	}
	c.kidContext = wrapID(id)
	return c, nil
}

func wrapID(id []byte) []byte { return cbor.AppendBytes(nil, id) }

// unwrapID reads the kid context of a session.
func unwrapID(kidContext []byte) (id []byte, ok bool) {
	if err := cbor.Unmarshal(kidContext, &id); err != nil || kidContext[0]>>5 != cbor.Bytes {
		return nil, false
	}
	return id, true
}

func concat(a, b []byte) []byte { return append(append([]byte(nil), a...), b...) }

func random(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return b, nil
}
