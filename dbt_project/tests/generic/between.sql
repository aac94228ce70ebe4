{# Values lie within limits; empty ones are left to not_null. #}
{% test between(model, column_name, minimum, maximum) %}
select {{ column_name }} from {{ model }} where {{ column_name }} < {{ minimum }} or {{ column_name }} > {{ maximum }}
{% endtest %}
