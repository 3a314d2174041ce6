package gm

import (
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
)

// upgrades lead from each format of the store to the next, from format 1 on. A
// change of what a record means goes with a step here and the store of the older
// format in testdata.
var upgrades = []schema.Step{
	curveOfAgreement,
	tokensInOrder,
}

// curveOfAgreement leads to format 2: a group says on which curve its members
// agree on keys; before, there were groups of X25519 only.
func curveOfAgreement(tx store.Tx) error {
	return eachGroup(tx, func(g *groupRecord) error {
		if g.Algs.HasPairwiseMode() && g.Curve == 0 {
			g.Curve = ace.ECDHCurve(g.Algs.Sign)
		}
		return save(tx, groupKey(g.Name), g)
	})
}

// tokensInOrder leads to format 3: associations are found by when their token
// expires and say who obtained them, and groups say when they were rekeyed.
func tokensInOrder(tx store.Tx) error {
	var all []*associationRecord
	if err := eachAssociation(tx, func(a *associationRecord) bool { all = append(all, a); return true }); err != nil {
		return err
	}
	for _, a := range all {
		a.Origin = a.Actor
		if err := a.replace(tx, nil); err != nil {
			return err
		}
	}
	return eachGroup(tx, func(g *groupRecord) error {
		g.RekeyedAt = g.Expires - min(g.Lifetime, g.Expires)
		return save(tx, groupKey(g.Name), g)
	})
}

// eachGroup calls fn, which may write, for every group.
func eachGroup(tx store.Tx, fn func(*groupRecord) error) error {
	var names []string
	if err := tx.Scan("g/", func(key string, _ []byte) bool {
		names = append(names, strings.TrimPrefix(key, "g/"))
		return true
	}); err != nil {
		return err
	}
	for _, name := range names {
		g, err := load[groupRecord](tx, groupKey(name))
		if err != nil {
			return err
		}
		if g == nil { // fn has deleted it
			continue
		}
		if err := fn(g); err != nil {
			return err
		}
	}
	return nil
}
