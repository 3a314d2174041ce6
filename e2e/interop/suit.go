package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"

	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/suit"
)

// suitProgram is pycose and cbor2 in the suite.
const suitProgram = "e2e/interop/peers/suit.py"

// suitExamples is how many example envelopes the draft has.
const suitExamples = 6

// suitCases are the cases with pycose and cbor2: SUIT manifests. Nothing is sent,
// only bytes change hands.
var suitCases = slices.Concat(suitExampleCases(), suitOwnCases())

func suitExampleCases() (cases []testCase) {
	for i := range suitExamples {
		cases = append(cases, testCase{fmt.Sprintf("suit: example %d of the draft is the same to both, and verified", i), suitExample(i)})
	}
	return cases
}

func suitOwnCases() (cases []testCase) {
	for _, a := range []struct {
		name string
		alg  cose.Algorithm
	}{{"ES256", cose.ES256}, {"ESP256", cose.ESP256}, {"EdDSA", cose.EdDSA}, {"Ed25519", cose.AlgEd25519}} {
		name := "suit, " + a.name
		cases = append(cases,
			testCase{name + ": it takes ours apart, image and text inside", suitOurs(a.alg, true, (*suit.Envelope).Encode)},
			testCase{name + ": it takes ours apart, image elsewhere", suitOurs(a.alg, false, (*suit.Envelope).Encode)},
			testCase{name + ": it takes ours apart, bare as on the air", suitOurs(a.alg, true, (*suit.Envelope).Bare)},
			testCase{name + ": it refuses ours with bits changed", suitChanged(a.alg)},
			testCase{name + ": we take its apart, and verify", suitTheirs(a.alg)},
		)
	}
	return cases
}

// identifySUIT returns names and versions.
func identifySUIT(ctx context.Context, t tools) (string, error) {
	if t.python == "" {
		return "", errMissing
	}
	l := &lab{tools: t}
	var said struct{ Version string }
	if err := l.askSUIT(ctx, map[string]any{}, &said); err != nil {
		return "", errors.Join(err, errors.New(string(bytes.TrimSpace(l.close()))))
	}
	return said.Version, nil
}

// askSUIT asks one question of a process of its own.
func (l *lab) askSUIT(ctx context.Context, question, answer any) error {
	line, err := json.Marshal(question)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.python, "-B", suitProgram) // -B: no compiled files among the sources
	cmd.WaitDelay = parting
	cmd.Stdin, cmd.Stderr = bytes.NewReader(append(line, '\n')), &l.log
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("asking the peer: %w", err)
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(out, &failed); err != nil {
		return fmt.Errorf("hearing the peer: %w", err)
	}
	if failed.Error != "" {
		return fmt.Errorf("the peer says: %s", failed.Error)
	}
	return json.Unmarshal(out, answer)
}

// suitKey is a public or, with d, a private key as the peer takes it.
func suitKey(key cose.PublicKey, d []byte) map[string]string {
	out := map[string]string{"x": hex.EncodeToString(key.Bytes())}
	if key.Curve() == cose.P256 {
		out["x"], out["y"] = hex.EncodeToString(key.Bytes()[1:33]), hex.EncodeToString(key.Bytes()[33:])
	}
	if d != nil {
		out["d"] = hex.EncodeToString(d)
	}
	return out
}

// takenApart is what the peer says of an envelope.
type takenApart struct {
	Right         bool // all digests
	Deterministic bool
	Verified      []bool
	Structure     any
}

// agree has the peer take an envelope apart and compares it with ours.
func (l *lab) agree(ctx context.Context, data []byte, key cose.PublicKey) error {
	e, signer, err := suit.Open(data, key)
	if err != nil || !signer.Equal(key) {
		return fmt.Errorf("our side: %w", err)
	}
	var said takenApart
	if err := l.askSUIT(ctx, map[string]any{"take": hex.EncodeToString(data), "key": suitKey(key, nil)}, &said); err != nil {
		return err
	}
	switch {
	case !said.Right:
		return errors.New("the peer finds a digest wrong")
	case len(said.Verified) != 1 || !said.Verified[0]:
		return errors.New("the peer finds the signature wrong")
	case !said.Deterministic:
		return errors.New("the peer finds an encoding that is not deterministic")
	}
	ours, err := json.Marshal(suitStructure(e))
	if err != nil {
		return err
	}
	var same any
	if err := json.Unmarshal(ours, &same); err != nil {
		return err
	}
	if !reflect.DeepEqual(same, said.Structure) {
		theirs, _ := json.Marshal(said.Structure)
		return fmt.Errorf("two structures:\nours   %s\ntheirs %s", ours, theirs)
	}
	return nil
}

func suitExample(i int) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		list, key, err := readSUITExamples()
		if err != nil {
			return err
		}
		return l.agree(ctx, list[i], key)
	}
}

// readSUITExamples reads the draft's envelopes, which are not part of the project.
func readSUITExamples() (list [][]byte, key cose.PublicKey, err error) {
	dir := os.Getenv("LAMPLIGHTER_VECTORS_DIR")
	if dir == "" {
		if os.Getenv("CI") != "" {
			return nil, key, errors.New("LAMPLIGHTER_VECTORS_DIR is not set")
		}
		return nil, key, unavailable("LAMPLIGHTER_VECTORS_DIR is not set")
	}
	text, err := os.ReadFile(filepath.Join(dir, "fetched", "suit-envelopes.json"))
	if err != nil {
		return nil, key, err
	}
	var file struct{ Envelopes []struct{ Envelope string } }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, key, err
	}
	if len(file.Envelopes) != suitExamples {
		return nil, key, fmt.Errorf("%d examples instead of %d", len(file.Envelopes), suitExamples)
	}
	for _, e := range file.Envelopes {
		data, err := hex.DecodeString(e.Envelope)
		if err != nil {
			return nil, key, err
		}
		list = append(list, data)
	}
	key, err = readSUITKey(filepath.Join(dir, "fetched", "suit-public-key.pem"))
	return list, key, err
}

func readSUITKey(path string) (key cose.PublicKey, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return key, fmt.Errorf("%s is not in PEM", path)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return key, err
	}
	p, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return key, fmt.Errorf("%s is of another kind", path)
	}
	point, err := p.Bytes()
	if err != nil {
		return key, err
	}
	return cose.NewPublicKey(cose.P256, point)
}

// suitSigner draws a key of the algorithm, and gives its secret too.
func suitSigner(alg cose.Algorithm) (signer suit.Signer, secret []byte, err error) {
	var key cose.PrivateKey
	if alg == cose.ES256 || alg == cose.ESP256 {
		if secret, err = p256.Generate(rand.Reader); err == nil {
			key, err = p256.NewKey(secret)
		}
	} else {
		secret = make([]byte, 32)
		if _, err = rand.Reader.Read(secret); err == nil {
			key = cose.NewEd25519(secret)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	signer, err = suit.NewSigner(alg, key)
	return signer, secret, err
}

var suitImage = bytes.Repeat([]byte("a firmware image "), 200)

func suitParams(integrate bool) suit.Params {
	return suit.Params{
		Sequence: 1 << 40, Vendor: "lamps.example", Class: "lamp-2", Image: suitImage, Integrate: integrate,
		Version: "2.1.0", VendorName: "Example Lamps", Model: "Lamp 2", Description: "Dims without a flicker: ½ %",
		Device: suit.UUID{1, 15: 9},
	}
}

// suitOurs makes an envelope and hands on the part of it that goes there.
func suitOurs(alg cose.Algorithm, integrate bool, part func(*suit.Envelope) []byte) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		signer, _, err := suitSigner(alg)
		if err != nil {
			return err
		}
		data, err := suit.Sign(suitParams(integrate), signer)
		if err != nil {
			return err
		}
		e, err := suit.Parse(data)
		if err != nil {
			return err
		}
		return l.agree(ctx, part(e), signer.Public())
	}
}

// suitChanged changes a bit of the signature, then of the manifest, then of the text.
func suitChanged(alg cose.Algorithm) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		signer, _, err := suitSigner(alg)
		if err != nil {
			return err
		}
		data, err := suit.Sign(suitParams(true), signer)
		if err != nil {
			return err
		}
		e, err := suit.Parse(data)
		if err != nil {
			return err
		}
		for name, c := range map[string]struct {
			place    []byte
			verified bool // it still is, as the signature is over the digest that is there
		}{"signature": {e.Signatures[0].Bytes, false}, "manifest": {[]byte("#image"), true}, "text": {[]byte("flicker"), true}} {
			bad := bytes.Clone(data)
			bad[bytes.Index(bad, c.place)] ^= 1
			if _, _, err := suit.Open(bad, signer.Public()); err == nil {
				return fmt.Errorf("we take a changed %s", name)
			}
			var said takenApart
			if err := l.askSUIT(ctx, map[string]any{"take": hex.EncodeToString(bad), "key": suitKey(signer.Public(), nil)}, &said); err != nil {
				return fmt.Errorf("a changed %s: %w", name, err)
			}
			if len(said.Verified) != 1 || said.Verified[0] != c.verified || said.Right == c.verified {
				return fmt.Errorf("a changed %s: verified %v, digests right %v", name, said.Verified, said.Right)
			}
		}
		return nil
	}
}

// suitTheirs takes an envelope apart that the peer made.
func suitTheirs(alg cose.Algorithm) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		signer, secret, err := suitSigner(alg)
		if err != nil {
			return err
		}
		vendor := suit.VendorID("lamps.example")
		class := suit.ClassID(vendor, "lamp-3")
		var said struct{ Envelope string }
		if err := l.askSUIT(ctx, map[string]any{"key": suitKey(signer.Public(), secret), "make": map[string]any{
			"alg": int(alg), "sequence": 77, "image": hex.EncodeToString(suitImage), "text": "Ändert nichts", "version": "3.0",
			"vendor": hex.EncodeToString(vendor[:]), "class": hex.EncodeToString(class[:]),
		}}, &said); err != nil {
			return err
		}
		data, err := hex.DecodeString(said.Envelope)
		if err != nil {
			return err
		}
		if err := l.agree(ctx, data, signer.Public()); err != nil {
			return err
		}
		e, _, err := suit.Open(data, signer.Public())
		if err != nil {
			return err
		}
		i, err := e.Apply(suit.Recipient{Vendor: vendor, Class: class})
		if err != nil {
			return err
		}
		if i.Sequence != 77 || i.URI != "#app" || i.Digest != sha256.Sum256(suitImage) || i.Version != "3.0" || e.Text["de"].Update != "Ändert nichts" {
			return fmt.Errorf("we read %+v", i)
		}
		return nil
	}
}
