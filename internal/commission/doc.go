// Package commission is the installer's engine: a site with its credential, the
// devices of its labels, durable jobs that claim, join and renew them, group commands
// and roll calls, and the administration of groups and people. It runs unchanged in a
// browser, behind the native command and in tests: clock, randomness, store and
// exchange are given to it.
//
// # Where things are
//
//	The engine   engine, config, api and api_admin (the schema of what drivers see),
//	             methods and dispatch (calls by name), publish (events), view, problem,
//	             log, diagnostics, wire (the way to all peers), nonces
//	The site     site, records (the store), enrol, invitation, again (another
//	             invitation), backup, rights (what the own token grants)
//	Devices      devices, labels, discover, claim, sessions, mark (sequence numbers)
//	Jobs         jobs, jobcalls, runner, task (one device's part), assist (the join),
//	             renew, commissioners and bringlist (who may manage devices)
//	Groups       groups, member (the browser as one), newkeys, watch, ending, light, campaign,
//	             opening, answers, followup (who was silent)
//	Firmware     firmware (calls), images (files that are kept), signers, rollouts,
//	             rolloutjob, rolloutend, rolloutview, groupway and groupready (a
//	             group as a rollout reaches it)
//	Administers  administer, groupconfig, groupmembers, people
package commission
