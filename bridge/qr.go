package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"rsc.io/qr"
)

// quiet is the light margin of a printed QR code, in modules. Half of what
// ISO/IEC 18004 asks for: readers take it, and the code fits 80 columns.
const quiet = 2

// Colours of a printed QR code: set in so many words, because terminals are
// light or dark.
const (
	blackOnWhite = "\x1b[30;107m"
	plainColours = "\x1b[0m"
)

// printQR draws a QR code with two rows of modules in each line.
func printQR(out io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("making the QR code: %w", err)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(blackOnWhite)
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(halves[index(code.Black(x, y))+2*index(code.Black(x, y+1))])
		}
		b.WriteString(plainColours + "\n")
	}
	_, err = io.WriteString(out, b.String())
	return err
}

// halves are the characters for a black upper module (1) and lower module (2).
var halves = [4]string{" ", "▀", "▄", "█"}

func index(black bool) int {
	if black {
		return 1
	}
	return 0
}

// isTerminal reports whether somebody reads along.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
