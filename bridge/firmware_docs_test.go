package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lamplighter/internal/firmware"
)

func firmwareDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/firmware.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFirmwareVectors: what docs/firmware.md gives to makers of devices is what
// the program does.
func TestFirmwareVectors(t *testing.T) {
	docs := firmwareDocs(t)
	image := make([]byte, 2500)
	for i := range image {
		image[i] = byte(i*7 + i>>8)
	}
	sum := sha256.Sum256(image)
	l := firmware.Layout{Size: len(image), Block: 64, K: 16}
	session := l.SessionID(bytes.Repeat([]byte{0x11}, 32))
	source := func(g int) func(int) []byte {
		first, _ := l.Generation(g)
		return func(j int) []byte { at := (first + j) * l.Block; return image[at : at+l.Length(first+j)] }
	}
	parity := func(g, index int) []byte {
		_, k := l.Generation(g)
		b := make([]byte, l.Block)
		firmware.Encode(b, index, source(g), k)
		return b
	}
	inverse, err := firmware.Solve([]int{1, 5}, []int{64, 70})
	if err != nil {
		t.Fatal(err)
	}
	block := firmware.Block{Session: session, Generation: 2, Index: 12, Bytes: source(2)(12)}
	fetch := firmware.StatusRequest{Fields: firmware.FieldProgress | firmware.FieldNonce, Session: session, Spread: 1000}
	status := firmware.Status{State: firmware.Downloading, Session: session, Deficits: []byte{0, 2, 13}, Heard: 27}
	open := firmware.SessionRequest{Session: session, Op: firmware.OpOpen, Block: 64, K: 16}
	activate := firmware.ActivateRequest{Session: session, Digest: sum[:8], Mode: firmware.ModeTest, In: 5000, Within: 60, Nonces: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	for _, v := range [][]byte{
		sum[:], session, {firmware.Coefficient(64, 0)}, {firmware.Coefficient(65, 3)}, {firmware.Coefficient(255, 63)}, inverse,
		parity(0, 64), parity(2, 64), parity(2, 255),
		block.Append(nil), fetch.Append(nil), status.Append(nil), open.Append(nil), activate.Append(nil),
	} {
		if !strings.Contains(docs, "`"+hex.EncodeToString(v)+"`") {
			t.Errorf("docs/firmware.md does not have %x", v)
		}
	}
	for _, p := range []struct {
		name, path string
	}{{"status", firmware.PathStatus}, {"manifest", firmware.PathManifest}, {"block", firmware.PathBlock}, {"session", firmware.PathSession}, {"activation", firmware.PathActivate}, {"report", firmware.PathReport}} {
		if !strings.Contains(docs, "| `"+p.path+"` |") {
			t.Errorf("docs/firmware.md lacks %s, the %s", p.path, p.name)
		}
	}
}

// TestFirmwareReasons: every reason that a rollout can give is explained.
func TestFirmwareReasons(t *testing.T) {
	docs := firmwareDocs(t)
	files, err := filepath.Glob("../internal/rollout/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range regexp.MustCompile(`"fw-[a-z-]+"`).FindAllString(string(text), -1) {
			found[strings.Trim(id, `"`)] = true
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d reasons were found", len(found))
	}
	for id := range found {
		if !strings.Contains(docs, "`"+id+"`") {
			t.Errorf("docs/firmware.md does not explain %s", id)
		}
	}
}

// TestFirmwareReceiverC compiles the receiver that docs/firmware.md gives to makers
// of devices and feeds it blocks in random order, with losses, repetitions,
// strange ones and a restart, until it says that nothing is missing: then it has the image.
func TestFirmwareReceiverC(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	_, code, ok := strings.Cut(firmwareDocs(t), "```c\n")
	code, _, ends := strings.Cut(code, "\n```")
	if !ok || !ends {
		t.Fatal("docs/firmware.md has no C code")
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "receiver.c"), filepath.Join(dir, "receiver")
	if err := os.WriteFile(source, []byte(code+receiverMain), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rng := mathrand.New(mathrand.NewPCG(5, 5))
	for _, size := range []int{1, 1023, 1024, 64 << 10, 65<<10 + 1, 200<<10 - 5} {
		for _, loss := range []float64{0, 0.05, 0.2} {
			image := make([]byte, size)
			for i := range image {
				image[i] = byte(rng.Uint32())
			}
			input := fmt.Sprintf("%d\n", size) + feed(rng, image, loss)
			cmd := exec.Command(program)
			cmd.Stdin = strings.NewReader(input)
			out, err := cmd.Output()
			if err != nil || !bytes.Equal(out, image) {
				t.Errorf("%d bytes, loss %g: %v, %d bytes came out", size, loss, err, len(out))
			}
		}
	}
}

// feed is a line a block: generation, index, hex. Blocks of all generations come
// in random order; a generation loses at most as many as there is room for parity
// blocks. Some blocks come twice, and some are malformed.
func feed(rng *mathrand.Rand, image []byte, loss float64) string {
	l := firmware.Layout{Size: len(image), Block: 1024, K: 64}
	var first, repair []string
	for g := range l.Generations() {
		begin, k := l.Generation(g)
		source := func(j int) []byte { at := (begin + j) * l.Block; return image[at : at+l.Length(begin+j)] }
		lost := 0
		for j := range k {
			if rng.Float64() < loss && lost < 16 {
				lost++
				continue
			}
			first = append(first, fmt.Sprintf("%d %d %x\n", g, j, source(j)))
		}
		for _, p := range rng.Perm(192)[:lost+lost/2] {
			b := make([]byte, l.Block)
			firmware.Encode(b, 64+p, source, k)
			repair = append(repair, fmt.Sprintf("%d %d %x\n", g, 64+p, b))
		}
	}
	first = append(first, first[:len(first)/5]...)
	first = append(first, fmt.Sprintf("%d 63 %x\n", l.Generations()+3, make([]byte, 1024)), "0 64 0000\n", "0 1 0000\n")
	rng.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	lines := strings.Join(first, "")
	for n := range l.Generations() + 1 { // what there was no room for comes again
		rng.Shuffle(len(repair), func(i, j int) { repair[i], repair[j] = repair[j], repair[i] })
		if n == 0 && len(repair) > 0 {
			lines += strings.Join(repair[:len(repair)/2], "") + "0 1000 00\n" + strings.Join(first, "")
		}
		lines += strings.Join(repair, "")
	}
	return lines
}

// receiverMain reads the size and the blocks, and writes what is in the slot when
// no generation lacks anything.
const receiverMain = `
#include <stdio.h>
#include <stdlib.h>
static uint8_t slot_mem[64 * 64 * 1024], parity_mem[MAX_PARITY * B];
const uint8_t *slot = slot_mem, *parity_area = parity_mem;
int program_slot(uint32_t at, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (slot_mem[at + i] != 0xff && slot_mem[at + i] != p[i]) {
            fprintf(stderr, "a place of the slot was programmed twice\n");
            exit(3);
        }
    memcpy(slot_mem + at, p, n);
    return 1;
}
int program_parity(uint32_t at, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (parity_mem[at + i] != 0xff) {
            fprintf(stderr, "a place for parity blocks was not erased\n");
            exit(3);
        }
        parity_mem[at + i] = p[i];
    }
    return 1;
}
int erase_parity(void) { memset(parity_mem, 0xff, sizeof parity_mem); return 1; }
int main(void)
{
    static char text[2 * B + 1];
    static uint8_t bytes[B];
    unsigned g, index, total;
    memset(slot_mem, 0xff, sizeof slot_mem);
    erase_parity();
    if (scanf("%u", &total) != 1)
        return 2;
    size = total, blocks = (size + B - 1) / B, gens = (blocks + MAX_K - 1) / MAX_K;
    while (scanf("%u %u %2048s", &g, &index, text) == 3) {
        unsigned n = (unsigned)strlen(text) / 2;
        if (index == 1000) { /* a restart: the RAM forgets; the journal had every block but the last ones */
            memset(held, 0x55, sizeof held), memset(used, 0, sizeof used), memset(have[0], 0, sizeof have[0]);
            if (!resume())
                return 7;
            continue;
        }
        for (unsigned i = 0, v; i < n; i++)
            bytes[i] = sscanf(text + 2 * i, "%2x", &v) == 1 ? (uint8_t)v : 0;
        if (!receive(g, index, bytes, n))
            return 4;
    }
    for (g = 0; g < gens; g++)
        if (deficit(g) || missing(g))
            return 5;
    return fwrite(slot_mem, 1, size, stdout) == size ? 0 : 6;
}
`
