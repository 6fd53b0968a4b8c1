// json_reference.h - a slow, plain reader of JSON, to hold json_paths.c against: it builds the
// whole document, by recursion and a byte at a time, and shares no code with it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace json_reference {

struct Node {
    bool complete = false; // what it holds ended before the text broke off or was broken
    std::string text;      // a string's content, else the text as it stands
    std::vector<std::pair<std::string, std::unique_ptr<Node>>> members;
    std::vector<std::unique_ptr<Node>> elements;
};

// A member's name, or an element's index where there is no name.
struct Step {
    std::optional<std::string> name;
    size_t index = 0;
};

class Reader {
  public:
    explicit Reader(const std::string &text) : text_(text) {}

    // Whatever could be read; nothing behind the document's value is looked at.
    std::unique_ptr<Node> Read()
    {
        auto root = std::make_unique<Node>();
        Space();
        Value(*root, 0);
        return root;
    }

  private:
    static constexpr int kLevels = 64;

    bool Is(char c) const { return at_ < text_.size() && text_[at_] == c; }

    bool Take(char c)
    {
        if (!Is(c)) { return false; }
        at_++;
        return true;
    }

    void Space()
    {
        while (Is(' ') || Is('\t') || Is('\n') || Is('\r')) { at_++; }
    }

    bool Value(Node &node, int levels)
    {
        const size_t begin = at_;
        bool good = false;
        if (Is('{')) {
            good = levels < kLevels && Object(node, levels + 1);
        } else if (Is('[')) {
            good = levels < kLevels && Array(node, levels + 1);
        } else if (Is('"')) {
            good = node.complete = String(node.text);
            return good;
        } else {
            good = Scalar();
        }
        if (good) { node.text = text_.substr(begin, at_ - begin); }
        node.complete = good;
        return good;
    }

    bool Object(Node &node, int levels)
    {
        Take('{');
        Space();
        if (Take('}')) { return true; }
        do {
            Space();
            std::string name;
            if (!Is('"') || !String(name)) { return false; }
            Space();
            if (!Take(':')) { return false; }
            Space();
            node.members.emplace_back(name, std::make_unique<Node>());
            if (!Value(*node.members.back().second, levels)) { return false; }
            Space();
        } while (Take(','));
        return Take('}');
    }

    bool Array(Node &node, int levels)
    {
        Take('[');
        Space();
        if (Take(']')) { return true; }
        do {
            Space();
            node.elements.push_back(std::make_unique<Node>());
            if (!Value(*node.elements.back(), levels)) { return false; }
            Space();
        } while (Take(','));
        return Take(']');
    }

    bool Digits()
    {
        const size_t begin = at_;
        while (at_ < text_.size() && isdigit((unsigned char)text_[at_]) != 0) { at_++; }
        return at_ > begin;
    }

    bool Number()
    {
        Take('-');
        if (!Take('0') && !Digits()) { return false; }
        if (Take('.') && !Digits()) { return false; }
        if (Take('e') || Take('E')) {
            if (!Take('+')) { Take('-'); }
            return Digits();
        }
        return true;
    }

    bool Scalar()
    {
        bool word = false;
        for (const std::string known : {"true", "false", "null"}) {
            if (text_.compare(at_, known.size(), known) == 0) {
                at_ += known.size();
                word = true;
                break;
            }
        }
        if (!word && !Number()) { return false; }
        return at_ < text_.size() &&
               std::string(" \t\r\n,]}").find(text_[at_]) != std::string::npos;
    }

    static std::string Utf8(uint32_t code)
    {
        std::string out;
        const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        static const uint8_t marks[] = {0x00, 0xc0, 0xe0, 0xf0};
        out += (char)(marks[more] | code >> (6 * more));
        for (int i = more; i-- > 0;) { out += (char)(0x80 | (code >> (6 * i) & 0x3f)); }
        return out;
    }

    std::optional<uint32_t> Hex4(size_t at) const
    {
        uint32_t code = 0;
        for (size_t i = at; i < at + 4; i++) {
            if (i >= text_.size() || isxdigit((unsigned char)text_[i]) == 0) {
                return std::nullopt;
            }
            code = code * 16 + (uint32_t)std::stoi(text_.substr(i, 1), nullptr, 16);
        }
        return code;
    }

    // Behind the "\u".
    bool Unicode(std::string &out)
    {
        const auto first = Hex4(at_);
        if (!first) { return false; }
        const std::string raw = "\\u" + text_.substr(at_, 4);
        at_ += 4;
        const bool high = *first >= 0xd800 && *first <= 0xdbff;
        const bool low = *first >= 0xdc00 && *first <= 0xdfff;
        if (high && text_.compare(at_, 2, "\\u") == 0) {
            const auto second = Hex4(at_ + 2);
            if (second && *second >= 0xdc00 && *second <= 0xdfff) {
                at_ += 6;
                out += Utf8((*first & 0x3ff) * 0x400 + (*second & 0x3ff) + 0x10000);
                return true;
            }
        }
        out += high || low ? raw : Utf8(*first);
        return true;
    }

    bool String(std::string &out)
    {
        static const std::string letters = "\"\\/bfnrt";
        static const std::string meanings = "\"\\/\b\f\n\r\t";
        Take('"');
        while (at_ < text_.size()) {
            const char c = text_[at_++];
            if (c == '"') { return true; }
            if ((unsigned char)c < 0x20) { return false; }
            if (c != '\\') {
                out += c;
                continue;
            }
            if (at_ == text_.size()) { return false; }
            const char letter = text_[at_++];
            if (letter == 'u') {
                if (!Unicode(out)) { return false; }
            } else if (letters.find(letter) != std::string::npos) {
                out += meanings[letters.find(letter)];
            } else {
                return false;
            }
        }
        return false;
    }

    const std::string &text_;
    size_t at_ = 0;
};

inline std::optional<std::string> Find(const Node &root, const std::vector<Step> &path)
{
    const Node *node = &root;
    for (const Step &step : path) {
        const Node *next = nullptr;
        if (!step.name) {
            if (step.index < node->elements.size()) { next = node->elements[step.index].get(); }
        } else {
            for (size_t i = node->members.size(); i-- > 0;) { // so the first is what stays
                if (node->members[i].first == *step.name) { next = node->members[i].second.get(); }
            }
        }
        if (next == nullptr) { return std::nullopt; }
        node = next;
    }
    if (!node->complete) { return std::nullopt; }
    return node->text;
}

} // namespace json_reference
