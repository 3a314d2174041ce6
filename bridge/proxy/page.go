package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// types are the media types of the page's files: the system's table may not know
// them, and WebAssembly compiles while it loads only under its own.
var types = map[string]string{
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".wasm":        "application/wasm",
	".json":        "application/json",
	".map":         "application/json",
	".webmanifest": "application/manifest+json",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".ico":         "image/x-icon",
	".woff2":       "font/woff2",
	".txt":         "text/plain; charset=utf-8",
}

// encodings are the pre-compressed variants, the smallest first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// servePage serves a file of the page. Files whose name carries a hash may be
// kept for ever; all others are asked for again and are confirmed by their ETag.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Unknown method.", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	if s.config.Page == nil || strings.HasSuffix(name, ".br") || strings.HasSuffix(name, ".gz") || !isFile(s.config.Page, name) {
		s.notFound(w, name)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType(name))
	h.Set("Vary", "Accept-Encoding")
	file, encoding := variant(s.config.Page, name, r.Header.Get("Accept-Encoding"))
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	if strings.HasPrefix(name, s.config.Immutable) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if err := sendFile(w, r, s.config.Page, file, !strings.HasPrefix(name, s.config.Immutable)); err != nil {
		s.config.Logger.Warn("a file of the page could not be read", "file", file, "err", err)
		h.Del("Content-Encoding")
		http.Error(w, "The file could not be read.", http.StatusInternalServerError)
	}
}

func (s *Server) notFound(w http.ResponseWriter, name string) {
	if name == "index.html" {
		http.Error(w, "The page has not been built into this program. Build it with: make build", http.StatusNotFound)
		return
	}
	http.Error(w, "There is no such file.", http.StatusNotFound)
}

func isFile(page fs.FS, name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(page, name)
	return err == nil && info.Mode().IsRegular()
}

func mediaType(name string) string {
	ext := path.Ext(name)
	if t := types[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// variant picks the smallest variant that the client takes.
func variant(page fs.FS, name, accept string) (file, encoding string) {
	for _, e := range encodings {
		if accepts(accept, e.name) && isFile(page, name+e.suffix) {
			return name + e.suffix, e.name
		}
	}
	return name, ""
}

// accepts reads Accept-Encoding. RFC 9110, Section 12.5.3.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), encoding) {
			continue
		}
		q, isQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		if !isQ {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}

// sendFile sends a file, or 304 when the client has it already.
func sendFile(w http.ResponseWriter, r *http.Request, page fs.FS, file string, tag bool) error {
	if tag {
		b, err := fs.ReadFile(page, file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		w.Header().Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	}
	f, err := page.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if w.Header().Get("Content-Encoding") != "" {
		r.Header.Del("Range") // ranges are of the plain file; nobody needs them here
		if info, err := f.Stat(); err == nil {
			w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		}
	}
	if seeker, ok := f.(io.ReadSeeker); ok {
		http.ServeContent(w, r, "", time.Time{}, seeker)
		return nil
	}
	_, err = io.Copy(w, f)
	return err
}
