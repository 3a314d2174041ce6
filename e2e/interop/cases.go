package main

import "lamplighter/internal/oscore/group"

// aiocoapCases are the cases with aiocoap. A case's name says who asks whom.
var aiocoapCases = []testCase{
	// OSCORE, RFC 8613.
	{"oscore: we ask", oscoreClient(variant{})},
	{"oscore: we ask, with an ID Context", oscoreClient(variant{idContext: []byte("site 7")})},
	{"oscore: we ask, and answer its Echo challenge", oscoreClient(variant{windowLost: true})},
	{"oscore: our replay and our wrong key are refused", oscoreRefused},
	{"oscore: it asks", oscoreServer(variant{})},
	{"oscore: it asks, with an ID Context", oscoreServer(variant{idContext: []byte("site 7")})},
	{"oscore: it asks, and answers our Echo challenge", oscoreServer(variant{windowLost: true})},
	{"oscore: its wrong key is refused", oscoreRefuses},
	{"oscore, Appendix B.2: we ask", b2},
	{"oscore, Appendix B.2: it asks", b2},

	// Group OSCORE, RFC 10021, with Ed25519 and AES-CCM-16-64-128.
	{"group: we ask in group mode, it answers in pairwise mode", groupClient(group.Group, group.Pairwise)},
	{"group: we ask in group mode, it answers in group mode", groupClient(group.Group, group.Group)},
	{"group: we ask in pairwise mode, it answers in pairwise mode", groupClient(group.Pairwise, group.Pairwise)},
	{"group: it asks in group mode, we answer in pairwise mode", groupServer(group.Group, group.Pairwise)},
	{"group: it asks in group mode, we answer in group mode", groupServer(group.Group, group.Group)},
	{"group: it asks in pairwise mode, we answer in pairwise mode", groupServer(group.Pairwise, group.Pairwise)},
	{"group: it asks in pairwise mode, we answer in group mode", groupServer(group.Pairwise, group.Group)},
	{"group: it asks in group mode, and answers our Echo challenge", groupEcho},

	// CoAP over WebSockets, RFC 8323, and forward proxies.
	{"coap+ws: it asks through our bridge", bridgePlain},
	{"coap+ws: it asks through our bridge, with OSCORE", bridgeOSCORE},
	{"coap+ws: it asks through our bridge, in a group in group mode", bridgeGroup(group.Group, group.Pairwise)},
	{"coap+ws: it asks through our bridge, in a group in pairwise mode", bridgeGroup(group.Pairwise, group.Pairwise)},
	{"coap+ws: we ask through its proxy", linkPlain},
	{"coap+ws: we ask through its proxy, with OSCORE", linkOSCORE},
	{"coap+ws: we ask through its proxy, in a group in group mode", linkGroup(group.Group, group.Pairwise)},
	{"coap+ws: we ask through its proxy, in a group in pairwise mode", linkGroup(group.Pairwise, group.Pairwise)},
}
