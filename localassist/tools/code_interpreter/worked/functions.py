"""Functions that people ask for most, each called on an example.

Where the question names a number, the example is that one.
"""

from __future__ import annotations

import re

from localassist.tools.code_interpreter.wording import FUNCTION
from localassist.tools.code_interpreter.worked.base import Asked, Worked

_N = re.compile(r"(?<![\w.])(\d{1,4})(?![\w.])")


def _words(*forms: str) -> re.Pattern[str]:
    return re.compile("|".join(forms), re.IGNORECASE)


# What is asked for, the function, its calls, and the example where the question has no number.
_FUNCTIONS: tuple[tuple[re.Pattern[str], str, str, str], ...] = (
    (
        _words(r"primes?\b.{0,40}\b(?:up to|below|under|until|less than|smaller|between|bis)\b",
               r"(?:find|list|get|all|generate|print)\w*\b.{0,20}\bprimes?\b", r"sieve"),
        '''def find_primes(n):
    """The prime numbers up to n, by the sieve of Eratosthenes."""
    is_prime = [True] * (n + 1)
    for number in range(2, int(n**0.5) + 1):
        if is_prime[number]:
            for multiple in range(number * number, n + 1, number):
                is_prime[multiple] = False
    return [number for number in range(2, n + 1) if is_prime[number]]
''',
        "print(find_primes({n}))",
        "50",
    ),
    (
        _words(r"\bprime\b", r"primzahl"),
        '''def is_prime(n):
    """Whether n is a prime number."""
    if n < 2:
        return False
    for divisor in range(2, int(n**0.5) + 1):
        if n % divisor == 0:
            return False
    return True
''',
        "for number in [1, 2, 15, {n}]:\n    print(number, is_prime(number))",
        "97",
    ),
    (
        _words(r"factorial", r"fakultät"),
        '''def factorial(n):
    """The product of the whole numbers from 1 to n."""
    result = 1
    for number in range(2, n + 1):
        result *= number
    return result
''',
        "print(factorial({n}))",
        "10",
    ),
    (
        _words(r"fibonacci"),
        '''def fibonacci(n):
    """The first n Fibonacci numbers."""
    numbers = []
    a, b = 0, 1
    for _ in range(n):
        numbers.append(a)
        a, b = b, a + b
    return numbers
''',
        "print(fibonacci({n}))",
        "10",
    ),
    (
        _words(r"palindrom"),
        '''def is_palindrome(text):
    """Whether the letters of the text read the same backwards."""
    letters = [c.lower() for c in text if c.isalnum()]
    return letters == letters[::-1]
''',
        'for text in ["A man, a plan, a canal: Panama", "Python"]:\n'
        "    print(text, is_palindrome(text))",
        "",
    ),
    (
        _words(r"anagram"),
        '''def are_anagrams(first, second):
    """Whether both texts have the same letters."""
    return sorted(first.lower()) == sorted(second.lower())
''',
        'print(are_anagrams("listen", "silent"))\nprint(are_anagrams("apple", "pale"))',
        "",
    ),
    (
        _words(r"revers\w+ (?:a |the |of (?:a |the )?)?(?:string|text|word)", r"string in reverse"),
        'def reverse(text):\n    """The text backwards."""\n    return text[::-1]\n',
        'print(reverse("Hello, world"))',
        "",
    ),
    (
        _words(r"even or odd", r"(?:is|are) (?:even|odd)", r"(?:even|odd) number\b.{0,10}$"),
        '''def is_even(n):
    """Whether n can be divided by two."""
    return n % 2 == 0
''',
        "for number in [7, {n}]:\n    print(number, is_even(number))",
        "10",
    ),
    (
        _words(r"area of (?:a |the )?circle"),
        '''import math


def circle_area(radius):
    """The area of a circle."""
    return math.pi * radius**2
''',
        "print(circle_area({n}))",
        "2",
    ),
    (
        _words(r"(?:largest|biggest|maximum|highest) (?:number|value|element)"),
        '''def largest(numbers):
    """The largest of the numbers."""
    result = numbers[0]
    for number in numbers[1:]:
        if number > result:
            result = number
    return result
''',
        "print(largest([3, 41, 12, 9, 74, 15]))",
        "",
    ),
    (
        _words(r"(?:remov|delet|eliminat)\w+ (?:the |all )?duplicates?", r"without duplicates"),
        '''def without_duplicates(items):
    """The items in their order, each once."""
    return list(dict.fromkeys(items))
''',
        "print(without_duplicates([1, 2, 2, 3, 1, 4]))",
        "",
    ),
    (
        _words(r"(?:count|number of)\w*\s+(?:the )?words"),
        '''def count_words(text):
    """How many words the text has."""
    return len(text.split())
''',
        'print(count_words("The quick brown fox jumps over the lazy dog"))',
        "",
    ),
    (
        _words(r"multiplication table", r"times table", r"einmaleins"),
        '''def multiplication_table(n):
    """The first ten multiples of n, a line for each."""
    return [f"{n} x {factor} = {n * factor}" for factor in range(1, 11)]
''',
        'print("\\n".join(multiplication_table({n})))',
        "7",
    ),
    (
        _words(r"sum of (?:the |all )?digits", r"digit sum", r"quersumme"),
        '''def digit_sum(n):
    """The sum of the digits of n."""
    return sum(int(digit) for digit in str(abs(n)))
''',
        "print(digit_sum({n}))",
        "1234",
    ),
    (
        _words(r"(?:average|mean) of (?:a |the )?(?:list|numbers)"),
        '''def average(numbers):
    """The mean of the numbers."""
    return sum(numbers) / len(numbers)
''',
        "print(average([2, 4, 9]))",
        "",
    ),
    (
        _words(r"vowels?"),
        '''def count_vowels(text):
    """How many vowels the text has."""
    return sum(1 for c in text.lower() if c in "aeiou")
''',
        'print(count_vowels("Programming is fun"))',
        "",
    ),
    (
        _words(r"fizz ?buzz"),
        '''def fizzbuzz(n):
    """The lines of FizzBuzz from 1 to n."""
    lines = []
    for number in range(1, n + 1):
        word = "Fizz" * (number % 3 == 0) + "Buzz" * (number % 5 == 0)
        lines.append(word or str(number))
    return lines
''',
        'print("\\n".join(fizzbuzz({n})))',
        "15",
    ),
    (
        _words(r"leap years?", r"schaltjahr"),
        '''def is_leap_year(year):
    """Whether the year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
''',
        "for year in [1900, 2000, {n}]:\n    print(year, is_leap_year(year))",
        "2024",
    ),
    (
        _words(r"\bgcd\b", r"greatest common"),
        '''def gcd(a, b):
    """The greatest common divisor, by Euclid's algorithm."""
    while b:
        a, b = b, a % b
    return a
''',
        "print(gcd(48, 36))",
        "",
    ),
    (
        _words(r"bubble ?sort"),
        '''def bubble_sort(items):
    """The items in ascending order."""
    items = list(items)
    for end in range(len(items) - 1, 0, -1):
        for at in range(end):
            if items[at] > items[at + 1]:
                items[at], items[at + 1] = items[at + 1], items[at]
    return items
''',
        "print(bubble_sort([5, 2, 9, 1, 7]))",
        "",
    ),
    (
        _words(r"quick ?sort"),
        '''def quicksort(items):
    """The items in ascending order."""
    if len(items) < 2:
        return list(items)
    pivot = items[len(items) // 2]
    smaller = [item for item in items if item < pivot]
    equal = [item for item in items if item == pivot]
    larger = [item for item in items if item > pivot]
    return quicksort(smaller) + equal + quicksort(larger)
''',
        "print(quicksort([5, 2, 9, 1, 7]))",
        "",
    ),
    (
        _words(r"binary ?search"),
        '''def binary_search(items, wanted):
    """The index of what is wanted in the sorted items, or -1."""
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1
''',
        "print(binary_search([1, 3, 5, 7, 9, 11], 7))",
        "",
    ),
    (
        _words(r"celsius.{0,20}fahrenheit"),
        '''def celsius_to_fahrenheit(celsius):
    """The temperature in degrees Fahrenheit."""
    return celsius * 9 / 5 + 32
''',
        "print(celsius_to_fahrenheit({n}))",
        "100",
    ),
    (
        _words(r"fahrenheit.{0,20}celsius"),
        '''def fahrenheit_to_celsius(fahrenheit):
    """The temperature in degrees Celsius."""
    return (fahrenheit - 32) * 5 / 9
''',
        "print(fahrenheit_to_celsius({n}))",
        "212",
    ),
)  # fmt: skip


def function(asked: Asked) -> Worked | None:
    """A function for what the question names, with an example."""
    if not FUNCTION.search(asked.text):
        return None
    for named, code, calls, example in _FUNCTIONS:
        match = named.search(asked.text)
        if match is not None:
            number = _N.search(asked.text)
            shown = calls.replace("{n}", number[1] if number is not None else example)
            return Worked(f"{code}\n\n{shown}\n", f"a known function: {match.group().lower()}")
    return None
