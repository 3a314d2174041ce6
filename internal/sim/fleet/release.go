package fleet

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"lamplighter/internal/cose"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
)

// Who makes the devices.
const (
	vendor = "lights.example"
	class  = "LL-SIM"
)

func vendorID() []byte { id := suit.VendorID(vendor); return id[:] }

func classID() []byte { id := suit.ClassID(suit.VendorID(vendor), class); return id[:] }

func factoryImage() []byte { return image.Make(image.Image{Version: "1.0.0"}, 4096) }

func (f *Fleet) anchors() []cose.PublicKey { return []cose.PublicKey{f.vendor.Public()} }

// Release is an image and what a sender knows of it.
type Release struct {
	Image    []byte
	Envelope []byte // as it goes to devices
	Manifest rollout.Manifest
}

// Release makes an image of size bytes and has the vendor sign it.
func (f *Fleet) Release(i image.Image, sequence uint64, size int) (Release, error) {
	signer, err := suit.NewSigner(cose.Null, f.vendor)
	if err != nil {
		return Release{}, fmt.Errorf("making a release: %w", err)
	}
	r := Release{Image: image.Make(i, size)}
	signed, err := suit.Sign(suit.Params{Sequence: sequence, Vendor: vendor, Class: class, Image: r.Image, Version: i.Version}, signer)
	if err != nil {
		return Release{}, fmt.Errorf("signing a release: %w", err)
	}
	e, err := suit.Parse(signed)
	if err != nil {
		return Release{}, fmt.Errorf("reading a release: %w", err)
	}
	r.Envelope = e.Bare()
	r.Manifest = rollout.Manifest{
		Digest: bytes.Clone(e.Digest[:]), Image: sha256.Sum256(r.Image), Size: size, Sequence: sequence,
		Vendor: vendorID(), Class: classID(), Version: i.Version, Signer: f.vendor.Public().COSEKey(),
	}
	return r, nil
}

// Params are the parameters of a rollout of r to all devices.
func (f *Fleet) Params(r Release, o rollout.Options) rollout.Params {
	p := rollout.Params{
		Group: f.sender, Clock: f.Clock, Rand: f.rand, Image: r.Image, Envelope: r.Envelope, Manifest: r.Manifest,
		Options: o, Parallel: 1,
	}
	for _, d := range f.Devices {
		p.Devices = append(p.Devices, rollout.Device{ID: d.ID, Name: d.ID, Zone: fmt.Sprintf("zone-%d", d.index/10)})
	}
	return p
}
