# What the stand-ins for Psionic and llama.cpp were asked. The model's file is text that says what is to happen.
depths=0 tokens=4 ids='' output='' last='' choose=host model=''
while [ $# -gt 0 ]; do
    case $1 in
        -m) model=$2 ;;
        -d) depths=$2 ;;
        -n) tokens=$2 ;;
        -o) output=$2 ;;
        --token-ids) ids=$2 ;;
        --last) last=$2 ;;
        --choose) choose=$2 ;;
        *) shift; continue ;;
    esac
    shift 2
done

told() { grep -q "$1" "$model"; }

# Rows of a benchmark, with some fields more.
rows() {
    separator='['
    for depth in $(echo "$depths" | tr , ' '); do
        echo "$separator{\"n_gen\": $tokens, \"n_depth\": $depth, \"samples_ns\": [1000000000, 2000000000], $1}"
        separator=','
    done
    echo ']'
}

# The same row after every id of the file.
logits() {
    count=${last:-$(($(tr -cd , < "$ids" | wc -c) + 1))}
    while [ "$count" -gt 0 ]; do
        printf "$1"
        count=$((count - 1))
    done > "$output"
}
