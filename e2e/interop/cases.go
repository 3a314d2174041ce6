package main

import (
	"context"
	"slices"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// aiocoapCases are the cases with aiocoap. A case's name says who asks whom.
var aiocoapCases = slices.Concat(oscoreCases, observeCases, blockCases, oscoreAlgorithms(), groupCases, groupAlgorithms(), linkCases)

// oscoreCases are of RFC 8613.
var oscoreCases = []testCase{
	{"oscore: we ask", oscoreClient(variant{})},
	{"oscore: we ask, with an ID Context", oscoreClient(variant{idContext: []byte("site 7")})},
	{"oscore: we ask, and answer its Echo challenge", oscoreClient(variant{windowLost: true})},
	{"oscore: our replay and our wrong key are refused", oscoreRefused},
	{"oscore: it asks", oscoreServer(variant{})},
	{"oscore: it asks, with an ID Context", oscoreServer(variant{idContext: []byte("site 7")})},
	{"oscore: it asks, and answers our Echo challenge", oscoreServer(variant{windowLost: true})},
	{"oscore: its wrong key is refused", oscoreRefuses},
	{"oscore: Partial IVs of 5 bytes: we ask, then it asks", inTurn(oscoreClient(longPIVs), oscoreServer(longPIVs))},
	{"oscore, Appendix B.2: we ask", lacks("no Appendix B.2")},
	{"oscore, Appendix B.2: it asks", lacks("no Appendix B.2")},
}

// longPIVs starts where Partial IVs get their fifth byte, so that there are both.
var longPIVs = variant{next: 1<<32 - 3}

// observeCases are of RFC 7641.
var observeCases = []testCase{
	{"coap: we observe, and cancel", linkObserves(overUDP)},
	{"coap: it observes, and cancels", plainObserved},
	{"oscore: we observe, and cancel", linkOSCOREObserves(overUDP, true)},
	{"oscore: it observes", oscoreObserved},
	{"group: we observe in group mode, it notifies in pairwise mode", groupObserves(group.Group, group.Pairwise)},
	{"group: we observe in group mode, it notifies in group mode", groupObserves(group.Group, group.Group)},
	{"group: we observe in pairwise mode, it notifies in pairwise mode", groupObserves(group.Pairwise, group.Pairwise)},
	{"group: it observes in group mode, we notify in pairwise mode", groupObserved(group.Group, group.Pairwise)},
	{"group: it observes in group mode, we notify in group mode", groupObserved(group.Group, group.Group)},
	{"group: it observes in pairwise mode, we notify in pairwise mode", groupObserved(group.Pairwise, group.Pairwise)},
}

// blockCases are of RFC 7959.
var blockCases = []testCase{
	{"coap: we ask in blocks", weAskInBlocks(overUDP, openCaller, 0)},
	{"coap: it asks in blocks", itAsksInBlocks(openMeets, plain, 0)},
	{"oscore: we ask in blocks", weAskInBlocks(overUDP, pairCaller, 0)},
	{"oscore: we ask in blocks of 128", weAskInBlocks(overUDP, pairCaller, 128)},
	{"oscore: it asks in blocks", itAsksInBlocks(pairMeets, single, 0)},
	{"oscore: it asks in blocks of 128", itAsksInBlocks(pairMeets, single, 128)},
	{"oscore: it observes in blocks", itObservesInBlocks},
	{"group: we ask in blocks in group mode", weAskInBlocks(overUDP, memberCaller(group.Group, group.Group), 0)},
	{"group: we ask in blocks in pairwise mode", weAskInBlocks(overUDP, memberCaller(group.Pairwise, group.Pairwise), 0)},
	{"group: it asks in blocks in group mode", itAsksInBlocks(groupMeets(group.Group, group.Group), grouped, 0)},
	{"group: it asks in blocks in group mode, we answer in pairwise mode", itAsksInBlocks(goesOn(groupMeets(group.Group, group.Pairwise)), pairwise, 0)},
	{"group: it asks in blocks in pairwise mode", itAsksInBlocks(groupMeets(group.Pairwise, group.Pairwise), pairwise, 0)},
	{"coap+ws: we ask in blocks through its proxy, with OSCORE", weAskInBlocks(throughProxy, pairCaller, 0)},
	{"coap+ws: we ask its server in blocks, with OSCORE", weAskInBlocks(directly, pairCaller, 0)},
	{"coap+ws: it asks in blocks through our bridge, with OSCORE", acrossBridge(pairMeets, inBlocks(single))},
	{"coap+ws: it asks in blocks through our bridge, in a group", acrossBridge(groupMeets(group.Group, group.Group), inBlocks(grouped))},
}

func oscoreAlgorithms() (cases []testCase) {
	add := func(name string, v variant) {
		name = "oscore, " + name + ": we ask, then it asks"
		cases = append(cases, testCase{name, inTurn(oscoreClient(v), oscoreServer(v))})
	}
	for _, a := range []struct {
		name string
		id   cose.Algorithm
	}{
		{"AES-CCM-16-64-256", cose.AESCCM16_64_256},
		{"AES-CCM-64-64-128", cose.AESCCM64_64_128},
		{"AES-CCM-64-64-256", cose.AESCCM64_64_256},
		{"AES-CCM-16-128-128", cose.AESCCM16_128_128},
		{"AES-CCM-16-128-256", cose.AESCCM16_128_256},
		{"AES-CCM-64-128-128", cose.AESCCM64_128_128},
		{"AES-CCM-64-128-256", cose.AESCCM64_128_256},
		{"A128GCM", cose.A128GCM},
		{"A192GCM", cose.A192GCM},
		{"A256GCM", cose.A256GCM},
		{"ChaCha20/Poly1305", cose.ChaCha20Poly1305},
	} {
		add(a.name, variant{aead: a.id})
	}
	add("HKDF SHA-512", variant{hkdf: cose.HKDFSHA512})
	return cases
}

// groupCases are of RFC 10021.
var groupCases = []testCase{
	{"group: it asks in group mode, and answers our Echo challenge", groupEcho},
	{"group: we ask, and would answer its Echo challenge", lacks("no Echo in groups")},
	{"group: our replays are refused in both modes (by a crash)", groupRefused},
	{"group: its wrong key is refused in both modes", groupRefuses},
	{"group: we answer with Partial IVs of our own", groupOwnPIV},
	{"group: it answers with Partial IVs of its own", groupTheirPIV},
	{"group: two servers answer to one request in group mode", groupOfThree(group.Group)},
	{"group: two servers answer to one request in pairwise mode", groupOfThree(group.Pairwise)},
	{"group, Ed25519: our signature checker verifies it all", groupChecked(cose.EdDSA)},
	{"group, ES256: our signature checker verifies it all", groupChecked(cose.ES256)},
	{"group: deterministic requests", lacks("we have none: a draft of its own")},
	{"group, A128CTR: we ask, then it asks", lacks("no AES-CTR")},
}

// Groups that use one cipher in both modes.
var (
	ed25519CCM    = group.DefaultAlgorithms
	ed25519ChaCha = mix(cose.ChaCha20Poly1305, cose.ChaCha20Poly1305, cose.EdDSA)
	es256CCM      = mix(cose.AESCCM16_64_128, cose.AESCCM16_64_128, cose.ES256)
	es256ChaCha   = mix(cose.ChaCha20Poly1305, cose.ChaCha20Poly1305, cose.ES256)
)

// mix is a group whose modes differ.
func mix(aead, groupEnc, sign cose.Algorithm) group.Algorithms {
	return group.Algorithms{
		AEAD: aead, GroupEnc: groupEnc, Sign: sign,
		Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256,
	}
}

// groupAlgorithms are the ways to ask and to answer with all of {Ed25519, ES256}
// x {CCM, ChaCha}, and each mode with what else there is.
func groupAlgorithms() (cases []testCase) {
	const inGroup, inPairs = group.Group, group.Pairwise
	for _, g := range []struct {
		name string
		algs group.Algorithms
	}{
		{"Ed25519, CCM", ed25519CCM},
		{"Ed25519, ChaCha", ed25519ChaCha},
		{"ES256, CCM", es256CCM},
		{"ES256, ChaCha", es256ChaCha},
	} {
		name := "group, " + g.name
		cases = append(cases,
			testCase{name + ": we ask in group mode, it answers in pairwise mode", groupClient(encounter{algs: g.algs, request: inGroup, answer: inPairs})},
			testCase{name + ": we ask in group mode, it answers in group mode", groupClient(encounter{algs: g.algs, request: inGroup, answer: inGroup})},
			testCase{name + ": we ask in pairwise mode, it answers in pairwise mode", groupClient(encounter{algs: g.algs, request: inPairs, answer: inPairs})},
			testCase{name + ": we ask in pairwise mode, it answers in group mode", groupClient(encounter{algs: g.algs, request: inPairs, answer: inGroup})},
			testCase{name + ": it asks in group mode, we answer in pairwise mode", groupServer(encounter{algs: g.algs, request: inGroup, answer: inPairs})},
			testCase{name + ": it asks in group mode, we answer in group mode", groupServer(encounter{algs: g.algs, request: inGroup, answer: inGroup})},
			testCase{name + ": it asks in pairwise mode, we answer in pairwise mode", groupServer(encounter{algs: g.algs, request: inPairs, answer: inPairs})},
			testCase{name + ": it asks in pairwise mode, we answer in group mode", groupServer(encounter{algs: g.algs, request: inPairs, answer: inGroup})},
		)
	}
	with512 := mix(cose.A256GCM, cose.A256GCM, cose.EdDSA)
	with512.HKDF, with512.Pairwise = cose.HMAC512, cose.ECDHSSHKDF512
	for _, g := range []struct {
		name string
		algs group.Algorithms
	}{
		{"Ed25519, CCM pairwise, ChaCha group", mix(cose.AESCCM16_64_128, cose.ChaCha20Poly1305, cose.EdDSA)},
		{"Ed25519, ChaCha pairwise, CCM group", mix(cose.ChaCha20Poly1305, cose.AESCCM16_64_128, cose.EdDSA)},
		{"ES256, A128GCM pairwise, AES-CCM-64-64-128 group", mix(cose.A128GCM, cose.AESCCM64_64_128, cose.ES256)},
		{"Ed25519, A256GCM, HKDF SHA-512", with512},
		{"Ed25519, CCM, group mode only", group.Algorithms{GroupEnc: cose.AESCCM16_64_128, Sign: cose.EdDSA, HKDF: cose.HMAC256}},
		{"CCM, pairwise mode only", group.Algorithms{AEAD: cose.AESCCM16_64_128, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}},
	} {
		var ask, answer []func(context.Context, *lab) error
		if g.algs.GroupEnc != cose.Null {
			ask = append(ask, groupClient(encounter{algs: g.algs, request: inGroup, answer: inGroup}))
			answer = append(answer, groupServer(encounter{algs: g.algs, request: inGroup, answer: inGroup}))
		}
		if g.algs.AEAD != cose.Null {
			ask = append(ask, groupClient(encounter{algs: g.algs, request: inPairs, answer: inPairs}))
			answer = append(answer, groupServer(encounter{algs: g.algs, request: inPairs, answer: inPairs}))
		}
		cases = append(cases,
			testCase{"group, " + g.name + ": we ask", inTurn(ask...)},
			testCase{"group, " + g.name + ": it asks", inTurn(answer...)})
	}
	return cases
}

// linkCases are of CoAP over WebSockets, RFC 8323, and forward proxies.
var linkCases = []testCase{
	{"coap+ws: it asks through our bridge", bridged(openMeets, plain)},
	{"coap+ws: it asks through our bridge, with OSCORE", bridged(pairMeets, single)},
	{"coap+ws: it asks through our bridge, in a group in group mode", bridged(groupMeets(group.Group, group.Pairwise), pairwise)},
	{"coap+ws: it asks through our bridge, in a group in pairwise mode", bridged(groupMeets(group.Pairwise, group.Pairwise), pairwise)},
	{"coap+ws: it observes through our bridge", bridgeObserved(openMeets, plain)},
	{"coap+ws: it observes through our bridge, with OSCORE", bridgeObserved(pairMeets, single)},
	{"coap+ws: it observes through our bridge, in a group in group mode", bridgeObserved(groupMeets(group.Group, group.Group), grouped)},
	{"coap+ws: we ask through its proxy", linkPlain(throughProxy)},
	{"coap+ws: we ask through its proxy, with OSCORE", linkOSCORE(throughProxy)},
	{"coap+ws: we ask through its proxy, in a group in group mode", linkGroup(throughProxy, group.Group, group.Pairwise)},
	{"coap+ws: we ask through its proxy, in a group in pairwise mode", linkGroup(throughProxy, group.Pairwise, group.Pairwise)},
	{"coap+ws: we observe through its proxy", linkObserves(throughProxy)},
	{"coap+ws: we observe through its proxy, with OSCORE", linkOSCOREObserves(throughProxy, false)},
	{"coap+ws: we ask its server", linkPlain(directly)},
	{"coap+ws: we ask its server, with OSCORE", linkOSCORE(directly)},
	{"coap+ws: we ask its server, in a group in group mode", linkGroup(directly, group.Group, group.Pairwise)},
	{"coap+ws: we ask its server, in a group in pairwise mode", linkGroup(directly, group.Pairwise, group.Pairwise)},
	{"coap+ws: we observe at its server", linkObserves(directly)},
	{"coap+ws: we observe at its server, with OSCORE", linkOSCOREObserves(directly, true)},
}

// inTurn runs one after the other.
func inTurn(runs ...func(context.Context, *lab) error) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		for _, run := range runs {
			if err := run(ctx, l); err != nil {
				return err
			}
		}
		return nil
	}
}

// lacks is a case that cannot be run, with the reason.
func lacks(what string) func(context.Context, *lab) error {
	return func(context.Context, *lab) error { return unavailable(what) }
}
