package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"lamplighter/internal/suit"
)

// suitStructure is an envelope in the shape that the peer gives.
func suitStructure(e *suit.Envelope) map[string]any {
	signatures := []any{}
	for _, s := range e.Signatures {
		signatures = append(signatures, map[string]any{"alg": int(s.Algorithm), "kid": hex.EncodeToString(s.KeyID), "bytes": hex.EncodeToString(s.Bytes)})
	}
	components := []any{}
	for _, id := range e.Manifest.Components {
		parts := []string{}
		for _, part := range id {
			parts = append(parts, hex.EncodeToString(part))
		}
		components = append(components, parts)
	}
	sections, severed, texts, integrated := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for element, s := range e.Manifest.Sequences {
		sections[strconv.Itoa(int(element))] = suitSequence(s)
	}
	for element, digest := range e.Manifest.Severed {
		severed[strconv.Itoa(int(element))] = hex.EncodeToString(digest[:])
	}
	for language, t := range e.Text {
		about := []any{}
		for _, c := range t.Components {
			about = append(about, labelled(c.VendorName, c.ModelName, c.VendorDomain, c.ModelInfo, c.Description, c.Version))
		}
		texts[language] = map[string]any{"own": labelled(t.Description, t.Update), "components": about}
	}
	for name, payload := range e.Integrated {
		sum := sha256.Sum256(payload)
		integrated[name] = hex.EncodeToString(sum[:])
	}
	return map[string]any{
		"digest": hex.EncodeToString(e.Digest[:]), "signatures": signatures, "sequence": e.Manifest.Sequence, "uri": e.Manifest.ReferenceURI,
		"components": components, "shared": suitSequence(e.Manifest.Shared), "sections": sections, "severed": severed, "text": texts, "integrated": integrated,
	}
}

// labelled gives texts the labels from 1 on.
func labelled(texts ...string) map[string]string {
	out := map[string]string{}
	for i, text := range texts {
		if text != "" {
			out[strconv.Itoa(i+1)] = text
		}
	}
	return out
}

func suitSequence(s suit.Sequence) []any {
	out := []any{}
	for _, c := range s {
		var argument any = c.Policy
		switch c.Code {
		case suit.SetComponent:
			argument = c.Component
		case suit.OverrideParameters:
			argument = suitParameters(c.Parameters)
		case suit.TryEach:
			tries := []any{}
			for _, try := range c.Tries {
				tries = append(tries, suitSequence(try))
			}
			argument = tries
		}
		out = append(out, []any{int(c.Code), argument})
	}
	return out
}

func suitParameters(p *suit.Parameters) map[string]any {
	out := map[string]any{}
	for label, id := range map[string]*suit.UUID{"1": p.Vendor, "2": p.Class, "24": p.Device} {
		if id != nil {
			out[label] = strings.ReplaceAll(id.String(), "-", "")
		}
	}
	for label, n := range map[string]*uint64{"5": p.Slot, "14": p.Size, "22": p.Source} {
		if n != nil {
			out[label] = *n
		}
	}
	if p.Digest != nil {
		out["3"] = hex.EncodeToString(p.Digest[:])
	}
	if p.URI != nil {
		out["21"] = *p.URI
	}
	return out
}
