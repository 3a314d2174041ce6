package device

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
)

// transfer is an image on its way from an installer.
type transfer struct {
	bare    []byte // the envelope without its image
	image   []byte
	digest  []byte
	layout  firmware.Layout
	session []byte
}

func newTransfer(t testing.TB, version string, sequence uint64, change ...func(*suit.Params)) *transfer {
	t.Helper()
	return signedTransfer(t, vendorKey, version, sequence, change...)
}

func signedTransfer(t testing.TB, key ed25519.PrivateKey, version string, sequence uint64, change ...func(*suit.Params)) *transfer {
	t.Helper()
	img := image.Make(image.Image{Version: version, On: time.Second}, 5000)
	p := suit.Params{Sequence: sequence, Vendor: testVendor, Class: testClass, Version: version, Image: img, Integrate: true}
	for _, c := range change {
		c(&p)
	}
	signer, err := suit.NewSigner(cose.Null, cose.NewEd25519(key))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := suit.Sign(p, signer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := suit.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	x := &transfer{bare: e.Bare(), image: p.Image, layout: firmware.Layout{Size: len(p.Image), Block: 256, K: 8}}
	sum := sha256.Sum256(p.Image)
	x.digest = sum[:firmware.DigestSize]
	x.session = x.layout.SessionID(e.Digest[:])
	return x
}

// Requests of a transfer.

func request(code coap.Code, path string, payload []byte) *coap.Message {
	req := coap.NewRequest(code, path, payload)
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	return req
}

func (x *transfer) manifest() *coap.Message { return request(coap.PUT, firmware.PathManifest, x.bare) }

func (x *transfer) open() *coap.Message {
	r := firmware.SessionRequest{Session: x.session, Op: firmware.OpOpen, Block: uint(x.layout.Block), K: uint(x.layout.K)}
	return request(coap.POST, firmware.PathSession, r.Append(nil))
}

// block is a source block by its number.
func (x *transfer) block(n int) *coap.Message {
	g, idx := x.layout.Place(n)
	at := n * x.layout.Block
	blk := firmware.Block{Session: x.session, Generation: uint(g), Index: uint(idx), Bytes: x.image[at : at+x.layout.Length(n)]}
	return request(coap.PUT, firmware.PathBlock, blk.Append(nil))
}

// parity is a parity block of a generation.
func (x *transfer) parity(g, index int) *coap.Message {
	first, k := x.layout.Generation(g)
	dst := make([]byte, x.layout.Block)
	firmware.Encode(dst, index, func(j int) []byte {
		at := (first + j) * x.layout.Block
		return x.image[at : at+x.layout.Length(first+j)]
	}, k)
	blk := firmware.Block{Session: x.session, Generation: uint(g), Index: uint(index), Bytes: dst}
	return request(coap.PUT, firmware.PathBlock, blk.Append(nil))
}

func (x *transfer) activate(mode firmware.Mode, nonces ...[]byte) firmware.ActivateRequest {
	return firmware.ActivateRequest{
		Session: x.session, Digest: x.digest, Mode: mode, Within: 60, Nonces: bytes.Join(nonces, nil),
	}
}

func switchMessage(r firmware.ActivateRequest) *coap.Message {
	return request(coap.POST, firmware.PathActivate, r.Append(nil))
}
