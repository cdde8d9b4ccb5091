// Oracle answers nginx's auth_request as oauth2-proxy and Vouch do beside it: a service in Go on net/http that is asked
// about each request who has that cookie. It looks the session up in a map, judges its age and answers with the user's
// fields. Sessions stay in memory, there is no cryptography and no log: it is the least that such a service costs.
//
// Usage: oracle ADDRESS FILE, with a line of the Cookie field for each session in FILE. It ends with its standard input.
// The load test starts it (cargo bench --bench load -- --peer auth-request).
package main

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"
)

type session struct {
	user, email string
	ends        time.Time
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: oracle ADDRESS FILE")
	}
	name, known, err := sessions(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// As many threads as the proxies beside it have workers.
	runtime.GOMAXPROCS(1)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	answer := func(response http.ResponseWriter, request *http.Request) {
		cookie, err := request.Cookie(name)
		if err != nil {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		session, found := known[cookie.Value]
		if !found || time.Now().After(session.ends) {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		response.Header().Set("X-Auth-Request-User", session.user)
		response.Header().Set("X-Auth-Request-Email", session.email)
		response.WriteHeader(http.StatusAccepted)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(answer)))
}

// sessions reads the cookie's name and, for each of its values, whose session it is.
func sessions(path string) (string, map[string]session, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	name, known := "", make(map[string]session)
	ends := time.Now().Add(8 * time.Hour)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		before, value, _ := strings.Cut(lines.Text(), "=")
		name, known[value] = before, session{"somebody@example.com", "somebody@example.com", ends}
	}
	return name, known, lines.Err()
}
