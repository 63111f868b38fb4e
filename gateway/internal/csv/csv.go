// Package csv writes tables as RFC 4180 says, so that spreadsheets run nothing of what a cell contains.
package csv

import (
	"bufio"
	"io"
	"strings"
)

// Writer writes rows. Call Flush at the end.
type Writer struct{ out *bufio.Writer }

// NewWriter returns a writer that writes to w in large parts.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(w, 32<<10)} }

// Row writes one row.
func (w *Writer) Row(cells ...string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = w.out.WriteByte(',')
		}
		_, _ = w.out.WriteString(escaped(cell))
	}
	_, err := w.out.WriteString("\r\n") // a bufio.Writer repeats the first error
	return err
}

// Flush writes what is left.
func (w *Writer) Flush() error { return w.out.Flush() }

// escaped quotes a cell where that is needed. A cell that a spreadsheet would take for a formula gets an apostrophe. Spreadsheets
// also skip white space and quotes before a formula.
func escaped(cell string) string {
	if isFormula(cell) {
		cell = "'" + cell
	}
	if strings.ContainsAny(cell, "\",\r\n;\t") || strings.TrimSpace(cell) != cell {
		return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
	}
	return cell
}

func isFormula(cell string) bool {
	if cell == "" {
		return false
	}
	if strings.IndexByte("\t\r\n", cell[0]) >= 0 {
		return true
	}
	rest := strings.TrimLeft(cell, " \t\r\n\u00a0\"")
	for _, start := range []string{"=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20"} {
		if strings.HasPrefix(rest, start) {
			return true
		}
	}
	return false
}
