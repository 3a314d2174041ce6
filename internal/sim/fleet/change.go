package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"lamplighter/internal/cose"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/settings/source"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/suit"
)

// Schema is the schema of one of the models of internal/sim/models, and its document
// as a vendor signed it.
func Schema(model string) (*settings.Schema, []byte, error) {
	s, err := source.Parse(models.Source(model))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the schema of %s: %w", model, err)
	}
	seed := sha256.Sum256([]byte(vendor))
	signer, err := suit.NewSigner(cose.Null, cose.NewEd25519(ed25519.NewKeyFromSeed(seed[:])))
	if err != nil {
		return nil, nil, fmt.Errorf("signing the schema of %s: %w", model, err)
	}
	doc, err := s.Sign(signer)
	return s, doc, err
}

// Models is for [Config.Settings]: device i has the schema of the model that it names.
func Models(model func(i int) string) func(i int) (*settings.Schema, []byte) {
	type signed struct {
		schema *settings.Schema
		doc    []byte
	}
	known := map[string]signed{}
	return func(i int) (*settings.Schema, []byte) {
		name := model(i)
		if _, ok := known[name]; !ok {
			s, doc, err := Schema(name)
			if err != nil {
				panic(err) // the models are part of the program
			}
			known[name] = signed{s, doc}
		}
		return known[name].schema, known[name].doc
	}
}

// Change are the parameters of a change of the settings of all lamps. The site knows
// what all devices of the fleet run now.
func (f *Fleet) Change(c change.Change, o change.Options) change.Params {
	schema, doc, err := Schema(models.Lamp)
	if err != nil {
		panic(err)
	}
	p := change.Params{
		Group: f.sender, Clock: f.Clock, Rand: f.rand, Schema: schema, Ref: *schema.Ref(doc),
		Change: c, Options: o, Sender: f.SenderID, Parallel: 1,
	}
	if f.cfg.Real {
		p.Parallel = 4
	}
	for _, d := range f.Devices {
		own := change.Device{ID: d.ID}
		if h := d.Holder(); h != nil {
			own.Confirmed = h.Values()
			s, doc := f.cfg.Settings(d.index)
			own.Schema = s.Ref(doc)
		}
		p.Devices = append(p.Devices, own)
	}
	return p
}
