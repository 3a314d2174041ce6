package main

import (
	"fmt"
)

// aimGM is the memory that a Group Manager of 1,000 groups and 100,000 members may
// take, in MB: 1 kB a member.
const aimGM = 100

// servers measures the Group Manager and the Authorization Server over their
// encrypted stores on the disk. The reference of joins and tokens is their bare
// cryptography and one fsync of a plain file for each 16 of them; that of the figures
// _bolt has a record in bbolt, which waits for the disk twice in a commit, in the
// place of the file.
func servers() ([]result, error) {
	var all []result
	joins, err := metricsOf(suite{dir: "./internal/gm", pattern: "^BenchmarkJoins$", time: "3x"})
	if err != nil {
		return nil, err
	}
	all = append(all,
		measured("gm_joins_per_s", joins["joins/s"], "1/s", joins["reference-joins/s"]),
		measured("gm_joins_per_s_bolt", joins["joins/s"], "1/s", joins["bolt-joins/s"]))
	memory, err := metricsOf(suite{dir: "./internal/gm", pattern: "^BenchmarkMemory$", time: "1x"})
	if err != nil {
		return all, err
	}
	all = append(all, measured("gm_rss_100k", memory["full-VmRSS-MB"], "MB", aimGM))
	rekeying, err := metricsOf(suite{dir: "./internal/gm", pattern: "^BenchmarkRekey1000$", time: "1x"})
	if err != nil {
		return all, err
	}
	all = append(all, rekeyings(rekeying)...)
	tokens, err := metricsOf(suite{dir: "./internal/as", pattern: "^BenchmarkTokens$", time: "3x"})
	if err != nil {
		return all, err
	}
	return append(all,
		measured("token_per_s", tokens["tokens/s"], "1/s", tokens["reference-tokens/s"]),
		measured("token_per_s_bolt", tokens["tokens/s"], "1/s", tokens["bolt-tokens/s"])), nil
}

// aimToMany is how many messages for many a rekeying may take; what repairs the
// loss comes on top.
const aimToMany = 3

// rekeyings are the figures of a rekeying of 1,000 members: against as many bare
// requests, and against one message for all.
func rekeyings(m map[string]float64) []result {
	return []result{
		measured("gm_rekey_1000_unicast_messages", m["single-messages"], "", m["reference-single-messages"]),
		measured("gm_rekey_1000_unicast_bytes", m["single-bytes"], "B", m["reference-single-bytes"]),
		measured("gm_rekey_1000_unicast_s", m["single-s"], "s", m["reference-single-s"]),
		measured("gm_rekey_1000_multicast_messages", m["many-messages"], "", m["reference-many-messages"]),
		measured("gm_rekey_1000_multicast_bytes", m["many-bytes"], "B", m["reference-many-bytes"]),
		measured("gm_rekey_1000_multicast_s", m["many-s"], "s", m["reference-single-s"]),
		measured("gm_rekey_1000_multicasts", m["many-multicasts"], "", aimToMany),
	}
}

// metricsOf runs a suite of one benchmark and returns what it reported.
func metricsOf(s suite) (map[string]float64, error) {
	text, err := s.native()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.dir, err)
	}
	list, err := reported(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.dir, err)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s: %d benchmarks ran, want one", s.dir, len(list))
	}
	return list[0].metrics, nil
}
