package commission

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// What is kept of firmware files.
const (
	maxImage     = 8 << 20             // bytes of one
	maxImages    = 16 << 20            // bytes of all
	imageLife    = 30 * 24 * time.Hour // of one that nothing uses
	imageChunk   = 64 << 10            // bytes of a value in the store
	maxManifest  = 1024                // bytes, what goes to a group in one datagram
	maxAnchors   = 64                  // trust anchors of devices that are remembered
	fileOverhead = 64 << 10            // what a file may have beside the image
)

// Problems of firmware files.
var (
	errFwFile     = problem("fw-file", "This is no firmware file, or only a part of one.", "Choose the .suit file that the maker of the devices gave out, and copy it again if it was cut.")
	errFwDigest   = problem("fw-file-changed", "The image in the file is not the one that was signed.", "Do not use it. Get the file again from who made it.")
	errFwNoImage  = problem("fw-file-empty", "The file describes an image and does not hold it.", "Choose the file with the image in it.")
	errFwBig      = problem("fw-too-big", fmt.Sprintf("The file is larger than %d MiB.", maxImage>>20), "Images of this size cannot be sent from here.")
	errFwManifest = problem("fw-manifest", "The signed description of the image does not fit into one message.", "Ask who made it for a shorter one.")
	errFwSigned   = problem("fw-signature", "The signature of the file is wrong: it was changed after it was signed.", "Do not use it. Get the file again from who made it.")
	errFwSigner   = problem("fw-signer", "No key that the devices trust signed this image.", "Use a file that the maker of the devices signed.")
	errFwUnknown  = problem("fw-unknown-image", "There is no firmware image with this digest here any more.", "Choose the file again.")
	errFwRoom     = problem("fw-no-room", "The images of rollouts that are under way take all the room for firmware files.", "Wait until one has ended, or cancel it.")
)

// imageRecord is a firmware file that was taken apart: what it is, the envelope as
// devices get it, and how large the image is that stands in chunks beside it.
type imageRecord struct {
	View FirmwareImage `cbor:"1,keyasint"` // without what depends on trust anchors
	Bare []byte        `cbor:"2,keyasint"`
	Used int64         `cbor:"3,keyasint"` // when it was taken in or a rollout began
}

// InspectFirmware takes a firmware file in: a SUIT envelope with its image.
func (e *Engine) InspectFirmware(ctx context.Context, file []byte) (FirmwareImage, error) {
	s, err := e.site()
	if err != nil {
		return FirmwareImage{}, err
	}
	rec, image, err := s.readFirmware(file)
	if err != nil {
		return FirmwareImage{}, asProblem(err)
	}
	view := s.imageView(rec)
	if view.Problem != nil { // it is shown, and not kept
		return view, nil
	}
	if err := s.keepImage(ctx, rec, image); err != nil {
		return FirmwareImage{}, asProblem(err)
	}
	return view, nil
}

// readFirmware takes a file apart and holds it to its own digests.
func (s *site) readFirmware(file []byte) (*imageRecord, []byte, error) {
	if len(file) > maxImage+fileOverhead {
		return nil, nil, errFwBig
	}
	envelope, err := suit.Parse(file)
	if err != nil {
		return nil, nil, fromSUIT(err)
	}
	facts, err := envelope.Image()
	if err != nil {
		return nil, nil, fromSUIT(err)
	}
	image, ok := envelope.Integrated[facts.URI]
	bare := envelope.Bare()
	switch {
	case !ok || len(image) == 0:
		return nil, nil, errFwNoImage
	case len(image) > maxImage:
		return nil, nil, errFwBig
	case uint64(len(image)) != facts.Size:
		return nil, nil, errFwDigest
	case len(bare) > maxManifest:
		return nil, nil, errFwManifest
	}
	now := s.e.now()
	view := FirmwareImage{
		Digest: hex.EncodeToString(facts.Digest[:]), Version: facts.Version, Sequence: facts.Sequence, Size: len(image),
		Vendor: facts.Vendor.String(), Class: facts.Class.String(), Created: now,
	}
	view.describe(envelope)
	return &imageRecord{View: view, Bare: bare, Used: now}, image, nil
}

// describe takes what the manifest says to people.
func (v *FirmwareImage) describe(envelope *suit.Envelope) {
	for _, language := range slices.Sorted(maps.Keys(envelope.Text)) {
		t := envelope.Text[language]
		v.Description = cmp.Or(v.Description, t.Update, t.Description)
		for _, c := range t.Components {
			v.Name = cmp.Or(v.Name, c.ModelName, c.Description, c.VendorName)
			v.Version = cmp.Or(v.Version, c.Version)
		}
	}
	if len(envelope.Signatures) > 0 {
		first := envelope.Signatures[0]
		v.Signer, v.Algorithm = hex.EncodeToString(first.KeyID), algorithmName(first.Algorithm)
	}
}

// keepImage stores an image, and drops old ones where room is needed.
func (s *site) keepImage(ctx context.Context, rec *imageRecord, image []byte) error {
	writes, err := s.makeRoom(rec)
	if err != nil {
		return err
	}
	digest := rec.View.Digest
	for i, chunk := range chunked(image) {
		writes = append(writes, write{chunkKey(digest, i), chunk})
	}
	if err := s.commit(ctx, append(writes, write{preImage + digest, rec})...); err != nil {
		return err
	}
	s.mu.Lock()
	s.images[digest] = rec
	s.mu.Unlock()
	return nil
}

func chunkKey(digest string, i int) string { return fmt.Sprintf("%s%s/%04d", preChunk, digest, i) }

func chunked(image []byte) (chunks [][]byte) {
	return slices.Collect(slices.Chunk(image, imageChunk))
}

// makeRoom drops images that are old, and the longest unused ones where there is no
// room for another. Those of rollouts that have not ended stay.
func (s *site) makeRoom(next *imageRecord) ([]write, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := maxImages - next.View.Size
	var idle []*imageRecord
	for digest, rec := range s.images {
		switch {
		case digest == next.View.Digest:
		case s.inUse(digest):
			room -= rec.View.Size
		default:
			idle = append(idle, rec)
		}
	}
	if room < 0 {
		return nil, errFwRoom
	}
	slices.SortFunc(idle, func(a, b *imageRecord) int { return cmp.Compare(b.Used, a.Used) })
	var writes []write
	for _, rec := range idle {
		room -= rec.View.Size
		if room < 0 || s.e.now()-rec.Used > imageLife.Milliseconds() {
			writes = append(writes, s.dropImage(rec)...)
		}
	}
	return writes, nil
}

// dropImage forgets an image; s.mu is held.
func (s *site) dropImage(rec *imageRecord) []write {
	digest := rec.View.Digest
	delete(s.images, digest)
	writes := []write{{preImage + digest, nil}}
	for i := range (rec.View.Size + imageChunk - 1) / imageChunk {
		writes = append(writes, write{chunkKey(digest, i), nil})
	}
	return writes
}

// tidyImages drops the images that nothing has used for long.
func (s *site) tidyImages(ctx context.Context) {
	var writes []write
	s.mu.Lock()
	for digest, rec := range s.images {
		if s.e.now()-rec.Used > imageLife.Milliseconds() && !s.inUse(digest) {
			writes = append(writes, s.dropImage(rec)...)
		}
	}
	s.mu.Unlock()
	if len(writes) == 0 {
		return
	}
	if err := s.commit(ctx, writes...); err != nil {
		s.e.logProblem("", "dropping old firmware images", err)
	}
}

// image finds an image by its digest.
func (s *site) image(digest string) (*imageRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec := s.images[digest]; rec != nil {
		return rec, nil
	}
	return nil, errFwUnknown
}

// imageBytes reads an image from the store.
func (s *site) imageBytes(ctx context.Context, rec *imageRecord) ([]byte, error) {
	image := make([]byte, 0, rec.View.Size)
	err := s.db.View(ctx, func(tx store.Tx) error {
		for i := 0; len(image) < rec.View.Size; i++ {
			chunk, err := get[[]byte](tx, chunkKey(rec.View.Digest, i))
			if err != nil {
				return err
			}
			if chunk == nil || len(*chunk) == 0 {
				return errFwUnknown
			}
			image = append(image, *chunk...)
		}
		return nil
	})
	return image, err
}

// FirmwareImages lists the images that are kept here, newest first.
func (e *Engine) FirmwareImages(context.Context) ([]FirmwareImage, error) {
	s, err := e.site()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	records := slices.Collect(maps.Values(s.images))
	s.mu.Unlock()
	slices.SortFunc(records, func(a, b *imageRecord) int {
		return cmp.Or(cmp.Compare(b.View.Created, a.View.Created), cmp.Compare(a.View.Digest, b.View.Digest))
	})
	list := []FirmwareImage{}
	for _, rec := range records {
		list = append(list, s.imageView(rec))
	}
	return list, nil
}

// loadFirmware reads what is kept of images and trust anchors.
func (s *site) loadFirmware(tx store.Tx) error {
	anchors, err := get[[]trustAnchor](tx, keyAnchors)
	if err == nil && anchors != nil {
		s.trusted = *anchors
	}
	return errors.Join(err, scan(tx, preImage, func(digest string, r *imageRecord) { s.images[digest] = r }))
}
