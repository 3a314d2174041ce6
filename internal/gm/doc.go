// Package gm is the Group Manager of OSCORE groups: it admits nodes that hold a
// token, gives out keys, Sender IDs and credentials, and rekeys when a member
// leaves.
//
// Documents: RFC 9594 with draft-ietf-ace-key-groupcomm-oscore-21 ("KGO") over
// the OSCORE profile (RFC 9203) and the DTLS profile with pre-shared keys (RFC
// 9202), and draft-ietf-ace-oscore-gm-admin-17 ("GMA") for administrators. Built:
// groups with either mode or both, with Ed25519 and P-256 keys in CCS credentials;
// requesters, responders, monitors and signature verifiers; rekeying point to point,
// by observation and one to many (RFC 9594, Section 6.2, under a scheme of this
// project), which [Server.Run] carries out; token revocation (RFC 9770). Not built:
// credentials in other formats, whose issuers the Group Manager would have to judge.
//
// # Where things are
//
// A change is decided and written in one transaction of the store, answered, and told
// to members afterwards by jobs of [Server.Run]. The files follow that way:
//
//	The server      gm (Config, New), admin (groups by Go calls), route (the resources,
//	                who may use them, transactions), rehearse (a request's
//	                costly part, before the store is held), limit, count, hints
//	Associations    authz (POST /authz-info), association, contexts (keys in memory),
//	                opener (OSCORE), profile, dtls and session (DTLS)
//	Members         join, cred (checks of a credential), kind (kinds of groups and
//	                algorithms), info (what is told before a join), answer, creds,
//	                member (a member's own resources), verifier
//	Keys            record (groups and members in the store), epoch (Gids, Sender IDs,
//	                key material), rekey (a new version), tree (keys of one to many)
//	Ends            evict, evicted (tokens that are of no use any more), expire, revoke
//	                (tokens), bar (people)
//	Telling         run, queue, job (what is stored of a rekeying), plan, reach (the way to
//	                a member), deliver, multicast, notice (evictions), noted and heard
//	                (who has the keys), progress, observed (observers)
//	Administrators  manage (routes, rights), managecollection, managechange, manageconf,
//	                managepolicies, managemembers, watch (their observers), discovery
//	Stores          upgrade (older formats), restore (after a backup)
package gm
