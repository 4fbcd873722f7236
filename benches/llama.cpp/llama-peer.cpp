// llama-peer: llama.cpp's side of `cargo xtask compare`. Token ids in; logits, or greedy tokens and their times, out.
//
//   llama-peer logits -m MODEL --token-ids FILE -o OUT [--last N]
//       Feeds the ids one at a time, as decoding does, and writes the logits after each (after the last N only): 32-bit
//       floats, a row of the vocabulary's length for each position. Prints {"positions", "vocab"}.
//
//   llama-peer greedy -m MODEL --token-ids FILE -n N [-r R] [--choose host|device] [--stop ID]
//       Feeds the ids, then N times chooses the token with the largest logit and feeds it, but none after ID: once cold
//       and then R times (5) warm. A run's time ends when the last token has gone through the model. Prints {"choose",
//       "ids", "margins" (best minus second-best logit, when the host chooses; of a run that is not timed), "cold" (a
//       run), "warm" (runs), "samples_ns" (of the warm runs, from behind the prompt on), "repeated" (whether every run
//       chose the same ids), "n_threads", "flash_attn"}. A run is {"tokens", "stopped" (at ID), "first_ns" (from an empty
//       sequence until the first token had gone through the model), "total_ns" (until the last one had)}.
//
// FILE holds the ids in any notation of numbers, as [1, 2, 3]. Both take -ngl N (99), -fa 0|1 (1) and -t N (the cores).
// Exit status: 0; 1 llama.cpp failed; 2 the arguments cannot be used.
#include "llama.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using Tokens = std::vector<llama_token>;

// What can be mended on the command line.
struct Usage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

int number(const std::string & text, int least) {
    size_t end = 0;
    int value = -1;
    try {
        value = std::stoi(text, &end);
    } catch (const std::exception &) {
    }
    if (text.empty() || end != text.size() || value < least) {
        throw Usage("expected a number of at least " + std::to_string(least) + ", found '" + text + "'");
    }
    return value;
}

struct Options {
    std::string mode, model, ids, out, choose = "host";
    int last = 0, count = 0, repetitions = 5, layers = 99, flash = 1, threads = 0, stop = -1;

    Options(int argc, char ** argv) {
        mode = argc > 1 ? argv[1] : "";
        if (mode != "logits" && mode != "greedy") throw Usage("expected `logits` or `greedy` first, found '" + mode + "'");
        for (int i = 2; i < argc; i += 2) {
            const std::string name = argv[i];
            if (i + 1 == argc) throw Usage("expected a value after " + name);
            const std::string value = argv[i + 1];
            if      (name == "-m")          model = value;
            else if (name == "--token-ids") ids = value;
            else if (name == "-o")          out = value;
            else if (name == "--choose")    choose = value;
            else if (name == "--last")      last = number(value, 1);
            else if (name == "-n")          count = number(value, 1);
            else if (name == "-r")          repetitions = number(value, 0);
            else if (name == "-ngl")        layers = number(value, 0);
            else if (name == "-fa")         flash = number(value, 0);
            else if (name == "-t")          threads = number(value, 1);
            else if (name == "--stop")      stop = number(value, 0);
            else throw Usage("expected an option that there is, found " + name);
        }
        if (model.empty() || ids.empty()) throw Usage("expected -m MODEL and --token-ids FILE");
        if (mode == "logits" && out.empty()) throw Usage("expected -o OUT for the logits");
        if (mode == "greedy" && count == 0) throw Usage("expected -n N, the tokens to choose");
        if (choose != "host" && choose != "device") throw Usage("expected --choose host or device, found '" + choose + "'");
        if (flash > 1) throw Usage("expected -fa 0 or 1, found " + std::to_string(flash));
        // What llama-bench takes too. The library's own default is 4.
        if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    }
};

Tokens read_ids(const std::string & path) {
    std::ifstream file(path);
    if (!file) throw Usage(path + " could not be read; check the path");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    Tokens tokens;
    for (size_t i = 0; i < text.size();) {
        const size_t start = i;
        while (i < text.size() && digit(text[i])) i++;
        if (i > start) tokens.push_back(number(text.substr(start, i - start), 0));
        else i++;
    }
    if (tokens.empty()) throw Usage("expected token ids in " + path + ", found none");
    return tokens;
}

// A model and one sequence.
class Engine {
public:
    Engine(const Options & options, const Tokens & prompt) {
        auto of_model = llama_model_default_params();
        of_model.n_gpu_layers = options.layers;
        model.reset(llama_model_load_from_file(options.model.c_str(), of_model));
        if (!model) throw std::runtime_error("llama.cpp could not load " + options.model);
        vocab = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
        for (const llama_token token : prompt) {
            if (token >= vocab) {
                throw Usage("expected ids below " + std::to_string(vocab) + ", found " + std::to_string(token));
            }
        }
        auto of_context = llama_context_default_params();
        of_context.n_ctx = (prompt.size() + options.count + 255) / 256 * 256;
        of_context.n_threads = of_context.n_threads_batch = options.threads;
        of_context.flash_attn_type = options.flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        of_context.no_perf = true;
        llama_sampler_seq_config on_device{};
        if (options.choose == "device") {
            sampler.reset(llama_sampler_chain_init(llama_sampler_chain_default_params()));
            llama_sampler_chain_add(sampler.get(), llama_sampler_init_greedy());
            on_device.sampler = sampler.get();
            of_context.samplers = &on_device;
            of_context.n_samplers = 1;
        }
        context.reset(llama_init_from_model(model.get(), of_context));
        if (!context) throw std::runtime_error("llama.cpp could not make a context");
    }

    // Begins anew with a prompt, 512 tokens in a pass.
    void begin(const Tokens & prompt) {
        llama_memory_clear(llama_get_memory(context.get()), true);
        for (size_t i = 0; i < prompt.size(); i += 512) {
            feed(prompt.data() + i, std::min<size_t>(512, prompt.size() - i));
        }
    }

    void feed(const llama_token * tokens, size_t count) {
        // The batch is only read, though its type does not say so.
        const auto batch = llama_batch_get_one(const_cast<llama_token *>(tokens), (int32_t) count);
        if (llama_decode(context.get(), batch) != 0) throw std::runtime_error("llama.cpp failed to decode");
    }

    // After the last token that was fed.
    const float * logits() {
        const float * row = llama_get_logits_ith(context.get(), -1);
        if (!row) throw std::runtime_error("llama.cpp returned no logits");
        return row;
    }

    llama_token choose() {
        if (!sampler) {
            const float * row = logits();
            return (llama_token) (std::max_element(row, row + vocab) - row);
        }
        const llama_token token = llama_get_sampled_token_ith(context.get(), -1);
        if (token < 0) throw std::runtime_error("llama.cpp chose no token on the device");
        return token;
    }

    // How far the best logit is above the second.
    float margin() {
        const float * row = logits();
        float first = std::max(row[0], row[1]), second = std::min(row[0], row[1]);
        for (int i = 2; i < vocab; i++) {
            second = std::max(second, std::min(first, row[i]));
            first = std::max(first, row[i]);
        }
        return first - second;
    }

    void wait() { llama_synchronize(context.get()); }

    int vocab = 0;

private:
    struct Free {
        void operator()(llama_model * p) const { llama_model_free(p); }
        void operator()(llama_sampler * p) const { llama_sampler_free(p); }
        void operator()(llama_context * p) const { llama_free(p); }
    };
    // Freed from the last to the first: a context needs its sampler and its model.
    std::unique_ptr<llama_model, Free> model;
    std::unique_ptr<llama_sampler, Free> sampler;
    std::unique_ptr<llama_context, Free> context;
};

void write_logits(const Options & options, Engine & engine, const Tokens & prompt) {
    std::ofstream file(options.out, std::ios::binary);
    const size_t rows = options.last ? std::min<size_t>(options.last, prompt.size()) : prompt.size();
    for (size_t i = 0; i < prompt.size(); i++) {
        engine.feed(&prompt[i], 1);
        if (i + rows >= prompt.size()) {
            file.write(reinterpret_cast<const char *>(engine.logits()), engine.vocab * sizeof(float));
        }
    }
    file.close();
    if (!file) throw std::runtime_error(options.out + " could not be written");
    printf("{\"positions\": %zu, \"vocab\": %d}\n", rows, engine.vocab);
}

template <typename T> void print_list(const char * name, const char * format, const std::vector<T> & values) {
    printf("\"%s\": [", name);
    for (size_t i = 0; i < values.size(); i++) {
        printf("%s", i ? ", " : "");
        printf(format, values[i]);
    }
    printf("], ");
}

// One greedy run from an empty sequence.
struct Run {
    Tokens ids;
    bool stopped = false;
    long long first = 0, total = 0;  // since it began
    long long decode = 0;            // since the prompt had gone through the model

    Run(const Options & options, Engine & engine, const Tokens & prompt) {
        ids.reserve(options.count);
        const auto start = now();
        engine.begin(prompt);
        engine.wait();
        const auto begun = now();
        while ((int) ids.size() < options.count && !stopped) {
            ids.push_back(engine.choose());
            engine.feed(&ids.back(), 1);
            stopped = ids.back() == options.stop;
            if (ids.size() == 1) {
                engine.wait();
                first = now() - start;
            }
        }
        engine.wait();
        total = now() - start;
        decode = now() - begun;
    }

    void print() const {
        printf("{\"tokens\": %zu, \"stopped\": %s, \"first_ns\": %lld, \"total_ns\": %lld}", ids.size(),
               stopped ? "true" : "false", first, total);
    }

private:
    static long long now() {
        const auto time = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    }
};

void decode_greedily(const Options & options, Engine & engine, const Tokens & prompt) {
    const bool host = options.choose == "host";
    const Run cold(options, engine, prompt);
    bool repeated = true;
    std::vector<Run> warm;
    std::vector<long long> samples;
    for (int repetition = 0; repetition < options.repetitions; repetition++) {
        warm.emplace_back(options, engine, prompt);
        samples.push_back(warm.back().decode);
        repeated = repeated && warm.back().ids == cold.ids;
    }
    std::vector<double> margins;
    if (host) {
        // Apart, because looking for the second best takes time.
        engine.begin(prompt);
        for (const llama_token & token : cold.ids) {
            margins.push_back(engine.margin());
            engine.feed(&token, 1);
        }
    }
    printf("{\"choose\": \"%s\", ", options.choose.c_str());
    print_list("ids", "%d", cold.ids);
    if (host) print_list("margins", "%.6g", margins);
    print_list("samples_ns", "%lld", samples);
    printf("\"cold\": ");
    cold.print();
    printf(", \"warm\": [");
    for (size_t i = 0; i < warm.size(); i++) {
        printf("%s", i ? ", " : "");
        warm[i].print();
    }
    printf("], \"repeated\": %s, \"n_threads\": %d, \"flash_attn\": %d}\n", repeated ? "true" : "false",
           options.threads, options.flash);
}

void warnings_only(ggml_log_level level, const char * text, void *) {
    static bool shown = false;  // a continuation goes where its beginning went
    if (level != GGML_LOG_LEVEL_CONT) shown = level >= GGML_LOG_LEVEL_WARN;
    if (shown) fputs(text, stderr);
}

}  // namespace

int main(int argc, char ** argv) {
    try {
        const Options options(argc, argv);
        const Tokens prompt = read_ids(options.ids);
        llama_log_set(warnings_only, nullptr);
        llama_backend_init();
        Engine engine(options, prompt);
        if (options.mode == "logits") write_logits(options, engine, prompt);
        else decode_greedily(options, engine, prompt);
        return 0;
    } catch (const Usage & error) {
        fprintf(stderr, "llama-peer: %s\n", error.what());
        return 2;
    } catch (const std::exception & error) {
        fprintf(stderr, "llama-peer: %s\n", error.what());
        return 1;
    }
}
