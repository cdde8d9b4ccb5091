// Oracle answers nginx's auth_request as oauth2-proxy and Vouch do beside it: a service in Go on net/http that is asked
// about each request whether its cookie is known. It keeps its sessions in memory and does no cryptography, so it is the
// least that such a service costs.
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
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: oracle ADDRESS FILE")
	}
	known, err := sessions(os.Args[2])
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
		if !known[request.Header.Get("Cookie")] {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		response.Header().Set("X-Auth-Request-User", "somebody@example.com")
		response.WriteHeader(http.StatusAccepted)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(answer)))
}

func sessions(path string) (map[string]bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	known := make(map[string]bool)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		known[lines.Text()] = true
	}
	return known, lines.Err()
}
