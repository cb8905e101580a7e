import { describeGradients } from '#test/support/describe-gradients.ts';
import { orderCases } from './cases/order.ts';

describeGradients('ordering and selection', orderCases);
