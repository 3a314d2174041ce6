package commission

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
	"lamplighter/internal/settings"
	"lamplighter/internal/suit"
)

// schemaRecord is a signed schema as a device gave it.
type schemaRecord struct {
	Doc  []byte `cbor:"1,keyasint"`
	Used int64  `cbor:"2,keyasint"`
	Own  bool   `cbor:"3,keyasint,omitempty"` // its device told which keys it trusts
}

// schema is a schema at run time; it is never changed, only replaced.
type schema struct {
	rec  schemaRecord
	what *settings.Schema // nil: it cannot be read
	ref  settings.SchemaRef
	by   suit.Signature
	err  error
}

func newSchema(rec *schemaRecord) *schema {
	c := &schema{rec: *rec}
	if c.what, c.by, c.err = settings.ReadSchema(rec.Doc); c.err == nil {
		c.ref = *c.what.Ref(rec.Doc)
	}
	return c
}

func refDigest(r *settings.SchemaRef) string {
	if r == nil {
		return ""
	}
	return hex.EncodeToString(r.Digest)
}

// schema finds a schema by its digest.
func (s *site) schema(digest string) *schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schemas[digest]
}

// schemaOf is the schema of a device, nil where it is not known.
func (s *site) schemaOf(id string) *settings.Schema {
	r := s.settingsOf(id)
	if c := s.schema(refDigest(r.Schema)); c != nil {
		return c.what
	}
	return nil
}

// SettingsSchemas lists the schemas of a group's devices.
func (e *Engine) SettingsSchemas(ctx context.Context, group string) ([]SettingsSchema, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	if err := s.knowSettings(ctx, g); err != nil {
		return nil, cfgError(err)
	}
	list := []SettingsSchema{}
	seen := map[string]bool{}
	for _, d := range s.membersOf(g) {
		digest := refDigest(s.settingsOf(d.id).Schema)
		if c := s.schema(digest); c != nil && !seen[digest] {
			seen[digest] = true
			list = append(list, s.schemaView(c))
		}
	}
	slices.SortFunc(list, func(a, b SettingsSchema) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Digest, b.Digest))
	})
	return list, nil
}

// siteAndGroup finds a group of the current site.
func (e *Engine) siteAndGroup(name string) (*site, *group, error) {
	s, err := e.site()
	if err != nil {
		return nil, nil, err
	}
	g, err := s.knownGroup(name)
	return s, g, err
}

// verify says by whom a schema was signed, as far as the devices' trust anchors are
// known by now.
func (s *site) verify(c *schema) (signer string, signed bool, err *Error) {
	if c.err != nil {
		return "", false, errCfgDoc.because(c.err)
	}
	all, _ := s.anchors("", "")
	_, key, bad := settings.OpenSchema(c.rec.Doc, all...)
	switch {
	case bad == nil:
		return hex.EncodeToString(suit.KeyID(key)), true, nil
	case errors.Is(bad, suit.ErrSigner) && !c.rec.Own: // its devices may trust a key that nobody asked them for yet
		return hex.EncodeToString(c.by.KeyID), false, nil
	case errors.Is(bad, suit.ErrSigner):
		err = errCfgSigner.because(bad)
	case errors.Is(bad, suit.ErrSignature):
		err = errCfgSigned.because(bad)
	default:
		err = errCfgDoc.because(bad)
	}
	return hex.EncodeToString(c.by.KeyID), false, err
}

func (s *site) schemaView(c *schema) SettingsSchema {
	sum := sha256.Sum256(c.rec.Doc)
	v := SettingsSchema{Digest: hex.EncodeToString(sum[:settings.DigestSize]), Defs: []SettingDef{}}
	var bad *Error
	if v.Signer, v.Signed, bad = s.verify(c); bad != nil {
		v.Problem = &bad.Problem
	}
	if c.what == nil {
		return v
	}
	v.Model, v.Version, v.Title = c.what.Model, c.what.Version, c.what.Title("en")
	v.Defs = defViews(c.what.In("en").Defs)
	return v
}

func defViews(defs []settings.Def) []SettingDef {
	list := []SettingDef{}
	for i := range defs {
		list = append(list, defView(&defs[i]))
	}
	return list
}

func defView(d *settings.Def) SettingDef {
	v := SettingDef{
		Key: int(d.Key), Name: d.Name, Title: cmp.Or(d.Title, d.Name), Help: d.Help, Type: d.Type.String(), Unit: d.Unit,
		Min: d.Min, Max: d.Max, Default: jsonValue(d.Default), Choices: []SettingChoice{}, Members: defViews(d.Members),
		PerDevice: d.Flags&settings.PerDevice != 0, Restart: d.Flags&settings.Restart != 0, Network: d.Flags&settings.Network != 0,
	}
	if d.Step != 0 {
		v.Step = &d.Step
	}
	if len(d.Choices) > 0 {
		v.Type = "choice"
	}
	for value, title := range d.Choices {
		v.Choices = append(v.Choices, SettingChoice{value, title})
	}
	slices.SortFunc(v.Choices, func(a, b SettingChoice) int { return cmp.Compare(a.Value, b.Value) })
	if d.IDs != nil {
		v.IDs = &[2]int{int(d.IDs.Min), int(d.IDs.Max)}
	}
	return v
}

// jsonValue is a value as pages have it.
func jsonValue(v any) any {
	if v == nil {
		return nil
	}
	return settings.Map{0: v}.JSON()["0"]
}

// oneOf is a device of a group as a [coap.Caller].
type oneOf struct {
	way *groupWay
	id  string
}

// Call implements [coap.Caller].
func (o oneOf) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	a, err := o.way.Call(ctx, o.id, req)
	return a.Resp, err
}

// fetchSchema reads a schema from a device and keeps it. What keys that device trusts
// is asked for, too.
func (s *site) fetchSchema(ctx context.Context, way *groupWay, id string, ref *settings.SchemaRef) error {
	one := oneOf{way, id}
	blocks := coap.NewBlockCaller(one, coap.BlockLimits{MaxBody: settings.MaxDocument}, s.e.cfg.Rand)
	resp, err := blocks.Call(ctx, coap.NewRequest(coap.GET, settings.PathSchema, nil))
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	if err != nil {
		return with(atDevice, "reading the schema", err)
	}
	rec := schemaRecord{Doc: resp.Payload, Used: s.e.now(), Own: s.askTrust(ctx, one)}
	c := newSchema(&rec)
	if c.err != nil {
		return errCfgDoc.because(c.err)
	}
	if !bytes.Equal(c.ref.Digest, ref.Digest) || c.ref.Model != ref.Model || c.ref.Version != ref.Version {
		return errCfgDoc
	}
	return s.keepSchema(ctx, c)
}

// askTrust asks a device which keys it trusts and reports whether it told.
func (s *site) askTrust(ctx context.Context, one oneOf) bool {
	q := firmware.StatusRequest{Fields: firmware.FieldAbility}
	req := coap.NewRequest(coap.FETCH, firmware.PathStatus, q.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	resp, err := one.Call(ctx, req)
	if err != nil || coap.CheckResponse(resp) != nil {
		return false // it takes no firmware
	}
	st, err := firmware.ParseStatus(resp.Payload)
	if err != nil || st.Ability == nil {
		return false
	}
	s.trust(ctx, st.Ability.Vendor, st.Ability.Class, st.Ability.Anchors)
	return slices.ContainsFunc(st.Ability.Anchors, func(key []byte) bool {
		_, err := cose.ParseCOSEKey(key)
		return err == nil
	})
}

// keepSchema stores a schema, in place of the longest unused ones where there are
// many.
func (s *site) keepSchema(ctx context.Context, c *schema) error {
	digest := refDigest(&c.ref)
	writes := []write{{preSchema + digest, c.rec}}
	s.mu.Lock()
	for len(s.schemas) >= maxSchemas {
		oldest := ""
		for d, other := range s.schemas {
			if oldest == "" || other.rec.Used < s.schemas[oldest].rec.Used {
				oldest = d
			}
		}
		delete(s.schemas, oldest)
		writes = append(writes, write{preSchema + oldest, nil})
	}
	s.schemas[digest] = c
	s.mu.Unlock()
	return s.commit(ctx, writes...)
}
